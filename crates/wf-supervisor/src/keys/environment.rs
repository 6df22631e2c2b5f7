//! Which variables a worker does not get.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::{KeyRing, SecretSource, source};
use crate::config::{Environ, PoolSettings};

/// The variables that hold keys and are removed from the workers' environment, sorted: those the pool was filled from,
/// the providers' usual ones, and any whose value contains a key; without those in `pass_env`.
///
/// Only variables that are set are named. `ring` may be empty (as in a mock run): what the configuration and the
/// providers call a key's variable is removed all the same.
pub fn removed_variables(
    environ: &dyn Environ,
    pool: &PoolSettings,
    ring: &KeyRing,
    pass_env: &[String],
) -> Vec<OsString> {
    let mut named: Vec<&str> = source::usual_variables().collect();
    named.extend(pool.keys.iter().filter_map(|key| match &key.source {
        SecretSource::Variable { name, .. } => Some(name.as_str()),
        _ => None,
    }));
    let mut secrets: Vec<Zeroizing<Vec<u8>>> =
        ring.secrets().map(|secret| Zeroizing::new(secret.expose().as_bytes().to_vec())).collect();
    for value in named.iter().filter_map(|name| environ.get(name)) {
        let value = Zeroizing::new(value.into_encoded_bytes());
        for part in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            // A short value, such as an empty or a dummy one, is in many innocent variables.
            if part.len() >= super::secret::MIN_SECRET_BYTES {
                secrets.push(Zeroizing::new(part.to_vec()));
            }
        }
    }
    let holds_key = |value: &[u8]| secrets.iter().any(|s| memchr::memmem::find(value, s).is_some());
    let mut removed: Vec<OsString> = environ
        .names()
        .into_iter()
        .filter(|name| !pass_env.iter().any(|kept| name == kept.as_str()))
        .filter(|name| {
            let is_named = named.iter().any(|n| name == n);
            // What cannot be looked up by name cannot be cleared of holding a key.
            let Some(text) = name.to_str() else { return true };
            is_named || environ.get(text).is_some_and(|v| holds_key(&Zeroizing::new(v.into_encoded_bytes())))
        })
        .collect();
    removed.sort();
    removed
}

/// The line that tells the user of a command what was removed; `None` when nothing was.
pub fn removal_notice(removed: &[OsString]) -> Option<String> {
    let names: Vec<_> = removed.iter().map(|name| name.to_string_lossy()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "removed from the commands' environment: {} (--with-key PROVIDER leases a key per attempt, --pass-env NAME \
             keeps a variable)",
            names.join(", ")
        )
    })
}
