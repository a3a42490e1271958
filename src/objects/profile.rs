//! Profiles of Amazon's tools: what `~/.aws/credentials` and `~/.aws/config` say of who is asking, where
//! the environment says nothing.
//!
//! Keys, a region and an endpoint. Not for what those tools ask others for (single sign-on, assumed roles,
//! processes): they put it into the environment themselves.

use std::env;
use std::path::{Path, PathBuf};

use configparser::ini::{Ini, IniDefault};

use crate::error::{Error, Result};

/// Keys that lead to credentials which are not in the files.
const ELSEWHERE: [&str; 4] = ["sso_session", "sso_start_url", "role_arn", "credential_process"];

/// What a profile says.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// The id of the key, and the key.
    pub(super) keys: Option<(String, String)>,
    /// What goes with keys that are lent for a while.
    pub(super) session_token: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl Profile {
    /// The profile that the environment asks for, or the one called `default`; nothing where there is
    /// none, or the environment names keys or a web identity itself.
    ///
    /// # Errors
    ///
    /// A profile that is asked for and is not there, or whose credentials are elsewhere; a file that
    /// cannot be understood.
    #[expect(
        clippy::disallowed_methods,
        reason = "credentials are the environment's, and no setting"
    )]
    pub(super) fn of_environment() -> Result<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        if ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"]
            .iter()
            .any(|name| variable(name).is_some())
        {
            return Ok(Self::default());
        }
        let file = |name: &str, usual: &str| {
            let usual = || env::home_dir().map(|home| home.join(".aws").join(usual));
            variable(name).map(PathBuf::from).or_else(usual)
        };
        let files = Files {
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config: file("AWS_CONFIG_FILE", "config"),
        };
        let asked = variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"));
        files.profile(asked.as_deref())
    }
}

/// Where profiles are written down.
struct Files {
    credentials: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Files {
    fn profile(&self, asked: Option<&str>) -> Result<Profile> {
        let name = asked.unwrap_or("default");
        let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let places = [(&self.credentials, name), (&self.config, &section)];
        let mut said = Vec::new();
        for (path, section) in places {
            let Some(path) = path.as_deref().filter(|path| path.is_file()) else { continue };
            let file = read(path)?;
            if file.sections().iter().any(|known| known == section) {
                said.push((file, section.to_owned()));
            }
        }
        let get = |key: &str| said.iter().find_map(|(file, section)| file.get(section, key));
        let wrong = |why: String| Err(Error::setting("AWS_PROFILE", name, why));
        if said.is_empty() {
            let Some(_) = asked else { return Ok(Profile::default()) };
            let paths = [&self.credentials, &self.config].into_iter().flatten();
            let paths: Vec<String> = paths.map(|path| format!("`{}`", path.display())).collect();
            return wrong(format!("no such profile is in {}", paths.join(" or ")));
        }
        let keys = get("aws_access_key_id").zip(get("aws_secret_access_key"));
        if keys.is_none()
            && let Some(key) = ELSEWHERE.into_iter().find(|key| get(key).is_some())
        {
            // A profile that nobody asked for may be meant for something else.
            let Some(_) = asked else { return Ok(Profile::default()) };
            return wrong(format!(
                "its credentials come by `{key}`; `eval \"$(aws configure export-credentials --profile {name} --format env)\"` gets them"
            ));
        }
        Ok(Profile {
            keys,
            session_token: get("aws_session_token"),
            region: get("region"),
            endpoint: get("endpoint_url"),
        })
    }
}

fn read(path: &Path) -> Result<Ini> {
    let mut rules = IniDefault::default();
    rules.case_sensitive = true;
    // A key may hold any letter but a line's end.
    rules.delimiters = vec!['='];
    rules.inline_comment_symbols = Some(Vec::new());
    let mut file = Ini::new_from_defaults(rules);
    file.load(path).map_err(|why| {
        Error::setting(
            "AWS_PROFILE",
            path.display().to_string(),
            format!("it cannot be read: {why}"),
        )
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CREDENTIALS: &str = "\
# whose keys
[default]
aws_access_key_id = AKIDEFAULT
aws_secret_access_key = a/b+c==;#d:e

[shop]
aws_access_key_id=AKISHOP
aws_secret_access_key=hush
aws_session_token=lent
";

    const CONFIG: &str = "\
[default]
region = eu-west-1

[profile shop]
region = eu-north-1
endpoint_url = http://127.0.0.1:9000
s3 =
    max_concurrent_requests = 20

[profile single]
sso_session = corp
";

    fn files() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let files =
            Files { credentials: file("credentials", CREDENTIALS), config: file("config", CONFIG) };
        (folder, files)
    }

    #[test]
    fn a_profile_is_put_together_from_both_files() {
        let (_folder, files) = files();
        let text = |text: &str| Some(text.to_owned());
        let keys = |id: &str, key: &str| Some((id.to_owned(), key.to_owned()));
        let usual = files.profile(None).unwrap();
        assert!(usual.keys == keys("AKIDEFAULT", "a/b+c==;#d:e"));
        assert_eq!((usual.region, usual.session_token), (text("eu-west-1"), None));
        let shop = files.profile(Some("shop")).unwrap();
        assert!(shop.keys == keys("AKISHOP", "hush") && shop.session_token == text("lent"));
        assert_eq!(shop.region, text("eu-north-1"));
        assert_eq!(shop.endpoint, text("http://127.0.0.1:9000"));
    }

    #[test]
    fn a_profile_that_cannot_be_is_told_of_only_where_it_is_asked_for() {
        let (folder, files) = files();
        let said = |name: &str| files.profile(Some(name)).err().unwrap().to_string();
        assert!(said("shpo").contains("no such profile"), "{}", said("shpo"));
        assert!(
            said("single").contains("export-credentials --profile single"),
            "{}",
            said("single")
        );
        let nowhere = Files { credentials: Some(folder.path().join("none")), config: None };
        assert!(nowhere.profile(None).unwrap() == Profile::default());
        assert!(nowhere.profile(Some("shop")).is_err());
    }
}
