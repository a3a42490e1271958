//! What a store said no with, in words that name the address and hold no credentials.

use std::error::Error as _;
use std::sync::LazyLock;

use object_store::Error as StoreError;
use regex::Regex;

use super::address::{Address, Kind};
use crate::error::Error;

/// Characters of an answer that are repeated.
const LONGEST: usize = 300;

static CODE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)<Code>([^<]*)</Code>(?:.*?<Message>([^<\n]*))?").ok());
/// An address in a message: what follows `?` may be a signature, what precedes `@` a password.
static SIGNED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(\w+://)(?:[^/@\s]*@)?([^?\s"')]*)(?:\?[^\s"')]*)?"#).ok());

/// What became of a request, as an error of the address.
pub(super) fn failed<'a>(
    action: &'static str,
    address: &'a Address,
) -> impl Fn(StoreError) -> Error + 'a {
    move |error| Error::Object {
        action,
        address: address.to_string(),
        why: why(&error, address),
        hint: hint(action, &error, address),
    }
}

fn why(error: &StoreError, address: &Address) -> String {
    let said = said(error);
    let with =
        |what: &str| if said.is_empty() { what.to_owned() } else { format!("{what} ({said})") };
    match error {
        _ if no_bucket(&said) => {
            format!("there is no such bucket as `{}`", address.store)
        }
        StoreError::NotFound { .. } => with("it is not there"),
        _ if is_refused(error) => with("the store refuses it"),
        StoreError::Precondition { .. } => {
            "it changed while it was read; run again once it is written".to_owned()
        }
        _ if is_whole(error) => {
            "the server answers a request for a part of it with the whole".to_owned()
        }
        _ => said,
    }
}

/// Whether who is asking may not; of a listing only the answer tells.
fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. })
        || ["status code: 401", "status code: 403"].iter().any(|code| chain(error).contains(code))
}

/// Whether it is not the object that is missing.
fn no_bucket(said: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]
        .iter()
        .any(|code| said.contains(code))
}

/// What would be right, where that is known.
fn hint(action: &str, error: &StoreError, address: &Address) -> Option<String> {
    if is_whole(error) {
        return Some(
            "Parquet is read in parts: let a server with range requests hand it out, or download it first"
                .to_owned(),
        );
    }
    let text = chain(error);
    // What a store is made of comes from the environment.
    let who = is_refused(error)
        || action == "reach"
        || ["redential", "169.254", "metadata", "Container name", "Account must be", "Token"]
            .iter()
            .any(|word| text.contains(word));
    let variables = match address.kind {
        Kind::S3 => {
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (or a profile of ~/.aws, which AWS_PROFILE names), AWS_REGION and, for another store than Amazon's, AWS_ENDPOINT_URL"
        }
        Kind::Google => "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT, a file",
        Kind::Azure => {
            "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_KEY, or AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID"
        }
        Kind::Web => "the address: `https://USER:PASSWORD@HOST/PATH`, or a signed one",
    };
    if who {
        return Some(format!("credentials are read from {variables}; docs/stores.md has the rest"));
    }
    if text.contains("without LOCATION") {
        return Some("the bucket is in another region: AWS_REGION names it".to_owned());
    }
    text.contains("URL scheme is not allowed").then(|| {
        "`https` is asked for: AWS_ALLOW_HTTP=true (AZURE_, GOOGLE_) lets a store be reached without"
            .to_owned()
    })
}

/// Whether a server ignored that a part of an object was asked for.
fn is_whole(error: &StoreError) -> bool {
    ["non-partial response", "Range request not supported"]
        .iter()
        .any(|said| chain(error).contains(said))
}

/// What the store or the network said, in one line.
fn said(error: &StoreError) -> String {
    let text = chain(error);
    let code = CODE.as_ref().and_then(|code| code.captures(&text));
    if let Some(code) = code {
        let part = |at: usize| code.get(at).map(|part| part.as_str().trim()).unwrap_or_default();
        let (code, message) = (part(1), part(2).trim_end_matches('.'));
        return if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
    }
    let mut said = causes(error).pop().unwrap_or(text);
    // What begins an answer's body is a page for people.
    for cut in ["<!DOCTYPE", "<!doctype", "<html", "<HTML", "<?xml"] {
        said.truncate(said.find(cut).unwrap_or(said.len()));
    }
    let said = said.trim_start_matches("Server returned non-2xx status code: ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    shown(&said).trim_end_matches([':', ' ', '.']).chars().take(LONGEST).collect()
}

/// The causes of an error, the last of them the first there was.
fn causes(error: &StoreError) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(source) = cause {
        causes.push(source.to_string());
        cause = source.source();
    }
    causes
}

fn chain(error: &StoreError) -> String {
    causes(error).join("\n")
}

/// A message with addresses as they may be shown.
fn shown(text: &str) -> String {
    match SIGNED.as_ref() {
        Some(signed) => signed.replace_all(text, "$1$2").into_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(
        store: fn(Box<dyn std::error::Error + Send + Sync>) -> StoreError,
        why: &str,
    ) -> Error {
        let address = Address::parse("s3://bucket/a.parquet").unwrap();
        failed("read", &address)(store(why.into()))
    }

    #[test]
    fn answers_are_told_in_one_line_without_credentials() {
        let denied = |source| StoreError::PermissionDenied { path: "a".to_owned(), source };
        let body = "Error performing GET http://host/a?sig=SECRET in 1ms - Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code>\n<Message>It does not match.</Message><AWSAccessKeyId>AKID</AWSAccessKeyId></Error>";
        let refused = error(denied, body);
        assert_eq!(
            refused.to_string(),
            "cannot read `s3://bucket/a.parquet`: the store refuses it (SignatureDoesNotMatch: It does not match)"
        );
        assert!(refused.hint().unwrap().contains("AWS_ACCESS_KEY_ID"));
        let generic = |source| StoreError::Generic { store: "S3", source };
        let lost =
            error(generic, "error sending request for url (https://me:pw@host/a?sig=SECRET)");
        assert!(!lost.to_string().contains("SECRET"), "{lost}");
        assert!(!lost.to_string().contains("pw"), "{lost}");
        assert!(lost.to_string().contains("https://host/a"), "{lost}");
        let whole = error(generic, "Received non-partial response when range requested");
        assert!(whole.hint().unwrap().contains("range requests"));
        let gone = |source| StoreError::NotFound { path: "a".to_owned(), source };
        let gone = error(gone, "404: <Error><Code>NoSuchBucket</Code></Error>");
        assert!(gone.to_string().ends_with("there is no such bucket as `s3://bucket`"), "{gone}");
    }
}
