//! `[providers.NAME]`: where calls to a provider go, and how they travel.

use wf_providers::Dialect;
use wf_worker::DIRECT;
use wf_worker::job::Network;

use super::document::{SECRETS_ELSEWHERE, Table};
use super::is_loopback;
use super::key_table::plain_name;
use crate::exit::Trouble;

/// The keys of the table.
pub const PROVIDER: &[&str] = &["kind", "base_url", "stream", "stall_timeout", "proxy", "allow_http"];

/// A `[providers.NAME]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderTable {
    /// The wire dialect; absent for the built-in names.
    pub kind: Option<Dialect>,
    /// Scheme, host and path prefix, without a trailing slash.
    pub base_url: Option<String>,
    /// How calls travel.
    pub network: Network,
}

/// Reads the table of the provider `name`.
pub fn provider(name: &str, table: &Table<'_>) -> Result<ProviderTable, Trouble> {
    table.only(PROVIDER)?;
    plain_name(name).map_err(|why| table.refuse(&why))?;
    let kind = match table.string("kind")? {
        Some(word) => {
            Some(word.parse::<Dialect>().map_err(|why| table.refuse_key("kind", &why.to_string()))?)
        }
        None => None,
    };
    if kind.is_none() && !Dialect::ALL.iter().any(|d| d.name() == name) {
        return Err(table.refuse("kind is missing: gemini, anthropic or openai (any compatible server)"));
    }
    let base_url = match table.string("base_url")? {
        Some(url) => Some(address(url).map_err(|why| table.refuse_key("base_url", &why))?),
        None => None,
    };
    let is_bare = |url: &String| url.strip_prefix("http://").is_some_and(|rest| !is_loopback(rest));
    if base_url.as_ref().is_some_and(is_bare) && table.boolean("allow_http")? != Some(true) {
        return Err(table.refuse_key(
            "base_url",
            "keys and documents would travel without encryption: write https://, or set allow_http = true",
        ));
    }
    Ok(ProviderTable { kind, base_url, network: network(table)? })
}

fn network(table: &Table<'_>) -> Result<Network, Trouble> {
    let default = Network::default();
    let refuse = |key: &str, why: &str| table.refuse_key(key, why);
    let stall_ms = match table.string("stall_timeout")? {
        None => default.stall_ms,
        Some("off") => None,
        Some(text) => match crate::duration::parse(text) {
            Ok(limit) if !limit.is_zero() => Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            Ok(_) => return Err(refuse("stall_timeout", "it is zero; \"off\" takes the bound away")),
            Err(why) => return Err(refuse("stall_timeout", &why)),
        },
    };
    let proxy = match table.string("proxy")? {
        Some(DIRECT) => Some(DIRECT.to_owned()),
        Some(url) if url.contains('@') => {
            return Err(refuse(
                "proxy",
                "a proxy's name and password stand in the variable HTTPS_PROXY, not here",
            ));
        }
        Some(url) => Some(address(url).map_err(|why| refuse("proxy", &why))?),
        None => None,
    };
    Ok(Network { stream: table.boolean("stream")?.unwrap_or(default.stream), stall_ms, proxy })
}

fn address(url: &str) -> Result<String, String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or("an address begins with https:// or http://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(format!("an address may not carry a name or password; {SECRETS_ELSEWHERE}"));
    }
    if authority.is_empty()
        || url.contains(['?', '#'])
        || url.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err("an address has a scheme, a host, and at most a path".to_owned());
    }
    Ok(url.trim_end_matches('/').to_owned())
}
