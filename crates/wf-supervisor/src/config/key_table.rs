//! The `[[keys]]` of `wf.toml`: which keys there are, and where their secrets are, which is never there.

use std::path::{Path, PathBuf};

use wf_providers::Dialect;

use super::document::{SECRETS_ELSEWHERE, Table, looks_like_secret, nearest};
use super::schema::FileConfig;
use crate::cli::value;
use crate::exit::Trouble;
use crate::keys::{KeyConfig, SecretSource};

/// The keys of a `[[keys]]` table.
pub const KEY: &[&str] = &["name", "provider", "secret", "quota_group", "max_in_flight"];
/// The keys of `secret`.
pub const SECRET: &[&str] = &["env", "file", "command"];

/// Names appear in logs, in messages and in `[REDACTED:name]`.
pub fn plain_name(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if looks_like_secret(text) {
        Err(SECRETS_ELSEWHERE.to_owned())
    } else if !text.is_empty() && text.len() <= 64 && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 64 letters, digits, '_', '-' and '.'".to_owned())
    }
}

/// Reads one table; `config` knows the providers already.
pub fn key(table: &Table<'_>, dir: &Path, config: &FileConfig) -> Result<KeyConfig, Trouble> {
    // Before anything else: what is wrong with the rest must not be told by quoting a secret.
    if table.get("secret").is_some_and(|value| value.string().is_some()) {
        return Err(table.refuse_key("secret", SECRETS_ELSEWHERE));
    }
    table.only(KEY)?;
    let needed = |key: &str| table.string(key)?.ok_or_else(|| table.refuse(&format!("{key} is missing")));
    let name = plain_name(needed("name")?).map_err(|why| table.refuse_key("name", &why))?;
    let provider = plain_name(needed("provider")?).map_err(|why| table.refuse_key("provider", &why))?;
    known_provider(&provider, config).map_err(|why| table.refuse_key("provider", &why))?;
    let quota_group = match table.string("quota_group")? {
        Some(group) => Some(plain_name(group).map_err(|why| table.refuse_key("quota_group", &why))?),
        None => None,
    };
    let max_in_flight = table.positive("max_in_flight")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let source = match table.table("secret", "keys.secret")? {
        Some(secret) => secret_source(&secret, dir)?,
        None => {
            return Err(table.refuse(
                "secret is missing: { env = \"NAME\" }, { file = \"PATH\" } or { command = [...] }",
            ));
        }
    };
    Ok(KeyConfig { name, provider, source, quota_group, max_in_flight })
}

/// Refuses the name of a provider that is neither built in nor configured.
fn known_provider(name: &str, config: &FileConfig) -> Result<(), String> {
    let mut known: Vec<&str> = Dialect::ALL.iter().map(|d| d.name()).collect();
    known.extend(config.providers.keys().map(String::as_str));
    if known.contains(&name) {
        return Ok(());
    }
    let advice = match nearest(name, &known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("add a table [providers.{name}] with its kind and base_url"),
    };
    Err(format!("there is no provider {name:?}: {advice}"))
}

fn secret_source(table: &Table<'_>, dir: &Path) -> Result<SecretSource, Trouble> {
    table.only(SECRET)?;
    let env = table.string("env")?;
    let file = table.string("file")?;
    let command = table.strings("command")?;
    match (env, file, command) {
        (Some(env), None, None) => {
            if looks_like_secret(env) {
                return Err(table.refuse_key("env", SECRETS_ELSEWHERE));
            }
            let name = value::variable(env).map_err(|why| table.refuse_key("env", &why))?;
            Ok(SecretSource::Variable { name, part: None })
        }
        (None, Some(file), None) if looks_like_secret(file) => {
            Err(table.refuse_key("file", SECRETS_ELSEWHERE))
        }
        (None, Some(file), None) if !file.is_empty() => Ok(SecretSource::File(dir.join(expand_home(file)))),
        (None, None, Some(command)) if command.first().is_some_and(|program| !program.is_empty()) => {
            Ok(SecretSource::Command(command))
        }
        _ => Err(table.refuse("exactly one of env, file and command is needed, and not an empty one")),
    }
}

/// `~/` at the beginning of a path is the home directory, as in a shell.
fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
