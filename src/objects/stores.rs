//! The stores that addresses lead to, each made once from what the environment says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, HeaderMap, HeaderValue, ObjectStore, RetryConfig,
};

use super::address::{Address, Kind, Secret};
use super::failure::failed;
use super::profile::Profile;
use crate::error::{Error, Result};

/// How long a connection may take to come about, and a request to be answered in full; the
/// environment can say otherwise (`AWS_TIMEOUT`).
const TIMES: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::ConnectTimeout, "10 seconds"), (ClientConfigKey::Timeout, "120 seconds")];

/// Every store that was asked for, by its address.
static STORES: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>> = Mutex::new(BTreeMap::new());

/// The store that an address leads to.
pub(super) fn store(address: &Address) -> Result<Arc<dyn ObjectStore>> {
    let secret = address.secret();
    // A signature is of one object.
    let name =
        if secret == Secret::default() { address.store.clone() } else { address.to_string() };
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(&name) {
        return Ok(Arc::clone(store));
    }
    let store = build(address, &secret)?;
    stores.insert(name, Arc::clone(&store));
    Ok(store)
}

fn build(address: &Address, secret: &Secret) -> Result<Arc<dyn ObjectStore>> {
    let failed = failed("reach", address);
    // The key is no part of what a store is made of, and might be misread.
    let (url, retry) = (format!("{}/", address.store), retry());
    Ok(match address.kind {
        Kind::S3 => {
            let mut builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
            let Profile { keys, session_token, region, endpoint } = Profile::of_environment()?;
            let (id, key) = keys.unzip();
            let said = [
                (AmazonS3ConfigKey::AccessKeyId, id),
                (AmazonS3ConfigKey::SecretAccessKey, key),
                (AmazonS3ConfigKey::Token, session_token),
                (AmazonS3ConfigKey::Region, region),
                (AmazonS3ConfigKey::Endpoint, endpoint),
            ];
            for (key, value) in said {
                if let Some(value) = value.filter(|_| builder.get_config_value(&key).is_none()) {
                    builder = builder.with_config(key, value);
                }
            }
            for (key, value) in TIMES {
                let key = AmazonS3ConfigKey::Client(key);
                if builder.get_config_value(&key).is_none() {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Kind::Google => {
            let url = url.replacen("gcs://", "gs://", 1);
            let mut builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry);
            for (key, value) in TIMES {
                let key = GoogleConfigKey::Client(key);
                if builder.get_config_value(&key).is_none() {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Kind::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
            for (key, value) in TIMES {
                let key = AzureConfigKey::Client(key);
                if builder.get_config_value(&key).is_none() {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Kind::Web => {
            let mut options = ClientOptions::new().with_allow_http(true);
            for (key, value) in TIMES {
                options = options.with_config(key, value);
            }
            if let Some(user) = &secret.user {
                options = options.with_default_headers(authorization(address, user)?);
            }
            let url = match &secret.query {
                Some(query) => format!("{url}?{query}"),
                None => url,
            };
            let builder =
                HttpBuilder::new().with_url(url).with_client_options(options).with_retry(retry);
            Arc::new(builder.build().map_err(failed)?)
        }
    })
}

/// A request that a server could not answer for now is asked again: six times, for a minute.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_mins(1),
    }
}

/// The header that tells a server user and password.
fn authorization(address: &Address, user: &str) -> Result<HeaderMap> {
    let decoded = crate::input::percent_decoded(user);
    let value = format!("Basic {}", BASE64_STANDARD.encode(decoded));
    let mut value = HeaderValue::try_from(value).map_err(|_| {
        let why = "its user and password cannot be sent";
        Error::setting("address", address.to_string(), why)
    })?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", value);
    Ok(headers)
}
