//! `wf-supervisor keys`: the pool as configured and as earlier runs left it; never a secret.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use wf_core::credentials::{KeyIndex, QuotaLimits};
use wf_providers::{Refusal, build_key_check, read_key_check};
use wf_worker::{Route, agent};

use super::pool;
use crate::config::{Configuration, Environ, PoolSettings};
use crate::exit::{self, Trouble};
use crate::keys::{KeyConfig, KeyRing, Secret};
use crate::store::StoreError;
use crate::store::board::{KeyOnBoard, LimitOnBoard, PoolBoard, QuotaOnBoard};
use crate::store::layout::StateDir;
use crate::store::run_dir::RunId;

/// How long one check may take.
const CHECK_TIME: Duration = Duration::from_secs(20);
/// Checks at once.
const AT_ONCE: usize = 16;
/// How much of a reply is read: a list of models is far smaller.
const MAX_REPLY_BYTES: u64 = 256 * 1024;

/// What runs know of a key, by its name: kept in `history.db`, or told by a live run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStanding {
    /// Requests left this minute.
    pub left_minute: Option<u64>,
    /// Requests left today.
    pub left_day: Option<u64>,
    /// In words: `available`, `limited`, `quarantined`, ...
    pub state: Option<String>,
    /// Until when the state holds.
    pub until: Option<Timestamp>,
}

/// What there is to say of the keys beside their configuration.
#[derive(Debug, Default)]
pub struct Standings {
    /// What earlier runs left, by the key's name.
    pub remembered: BTreeMap<String, KeyStanding>,
    /// The newest run that lives, and its pool.
    pub live: Option<(RunId, PoolBoard)>,
}

impl Standings {
    /// Looks at the runs of a state directory, the newest first. A run on the mock provider has keys of its own.
    pub fn see_live(&mut self, state: &StateDir, now: Timestamp) -> Result<(), StoreError> {
        for id in state.run_ids()?.iter().rev() {
            if let Some(board) = PoolBoard::of_live(&state.run(id)).filter(|board| !board.mock) {
                self.live = Some((id.clone(), board.seen_at(now)));
                break;
            }
        }
        Ok(())
    }
}

/// Tries a key at its provider; the error says what is wrong, for people.
pub type Ask<'a> = &'a (dyn Fn(&PoolSettings, &KeyConfig, &Secret) -> Result<(), String> + Sync);

#[derive(Debug, PartialEq, Serialize)]
struct Row<'a> {
    name: &'a str,
    provider: &'a str,
    quota_group: Option<&'a str>,
    source: String,
    rpm: Option<u64>,
    tpm: Option<u64>,
    rpd: Option<u64>,
    /// Limits of single models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<&'a str, Limits>,
    max_in_flight: Option<u32>,
    left_minute: Option<u64>,
    left_day: Option<u64>,
    state: String,
    until: Option<Timestamp>,
    /// The live run whose pool this is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    /// How the key stands in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<&'a KeyOnBoard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Limits {
    rpm: Option<u64>,
    tpm: Option<u64>,
    rpd: Option<u64>,
}

/// Writes the pool. With `check` every key is tried at its provider with `ask`, which [`ask_provider`] does for real;
/// without it no secret is read at all.
///
/// The exit code is 0, or 1 when a check failed.
pub fn keys(
    config: &Configuration,
    environ: &dyn Environ,
    standings: &Standings,
    check: Option<Ask<'_>>,
    json: bool,
    zone: &TimeZone,
    out: &mut dyn Write,
) -> Result<u8, Trouble> {
    let settings = &config.pool;
    let checks = match check {
        Some(ask) => check_all(settings, environ, ask)?,
        None => BTreeMap::new(),
    };
    let check_column = check.is_some();
    let rows: Vec<Row<'_>> = settings
        .keys
        .iter()
        .map(|key| row(key, settings, environ, standings, checks.get(key.name.as_str())))
        .collect();
    if json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if rows.is_empty() {
        writeln!(
            out,
            "no keys: set GEMINI_API_KEY (GOOGLE_API_KEY), ANTHROPIC_API_KEY or OPENAI_API_KEY, or name keys in wf.toml \
             (wf-supervisor init writes one)"
        )?;
    } else if let Some((run, board)) = &standings.live {
        writeln!(out, "run {run}, {}", pool::headline(board, zone))?;
        let of = |name: &str| rows.iter().find(|row| row.name == name);
        let source = |name: &str| of(name).map_or_else(|| "-".to_owned(), |row| row.source.clone());
        let check = |name: &str| of(name).and_then(|row| row.check.clone()).unwrap_or_else(|| "-".to_owned());
        let more: &[pool::Column<'_>] = &[("FROM", &source), ("CHECK", &check)];
        pool::write_keys(out, board, zone, &more[..if checks.is_empty() { 1 } else { 2 }])?;
        let others: Vec<&Row<'_>> = rows.iter().filter(|row| row.live.is_none()).collect();
        if !others.is_empty() {
            writeln!(out, "\nnot in that run:")?;
            table(&others, check_column, out)?;
        }
    } else {
        table(&rows.iter().collect::<Vec<_>>(), check_column, out)?;
    }
    Ok(if checks.values().any(Result::is_err) { exit::FAILED } else { exit::OK })
}

fn row<'a>(
    key: &'a KeyConfig,
    pool: &'a PoolSettings,
    environ: &dyn Environ,
    standings: &'a Standings,
    check: Option<&Result<(), String>>,
) -> Row<'a> {
    let group = key.quota_group.as_deref();
    let limits = group.and_then(|group| pool.limits.get(group));
    let for_all = limits.and_then(|limits| limits.get(&None)).copied().unwrap_or_default();
    let models = limits.into_iter().flatten().filter_map(|(model, limits)| {
        let QuotaLimits { rpm, tpm, rpd } = *limits;
        Some((model.as_deref()?, Limits { rpm, tpm, rpd }))
    });
    let live = standings.live.as_ref().and_then(|(run, board)| {
        let on_board = board.keys.iter().find(|k| k.name == key.name && k.provider == key.provider)?;
        Some((run.as_str(), on_board))
    });
    let standing = match live {
        Some((_, on_board)) => live_standing(on_board),
        None => standings.remembered.get(&key.name).cloned().unwrap_or_default(),
    };
    let state = if live.is_some() || key.source.seems_present(environ) {
        standing.state.unwrap_or_else(|| "available".to_owned())
    } else {
        "absent".to_owned()
    };
    Row {
        name: &key.name,
        provider: &key.provider,
        quota_group: group,
        source: key.source.words(),
        rpm: for_all.rpm,
        tpm: for_all.tpm,
        rpd: for_all.rpd,
        models: models.collect(),
        max_in_flight: key.max_in_flight,
        left_minute: standing.left_minute,
        left_day: standing.left_day,
        state,
        until: standing.until,
        run: live.map(|(run, _)| run),
        live: live.map(|(_, on_board)| on_board),
        check: check.map(|result| result.as_ref().map_or_else(Clone::clone, |()| "ok".to_owned())),
    }
}

/// The tightest of its models.
fn live_standing(key: &KeyOnBoard) -> KeyStanding {
    let least = |of: fn(&QuotaOnBoard) -> Option<&LimitOnBoard>| {
        key.quotas.iter().filter_map(of).map(|limit| limit.left).min()
    };
    KeyStanding {
        left_minute: least(|quota| quota.requests.as_ref()),
        left_day: least(|quota| quota.day.as_ref()),
        state: Some(key.state.clone()),
        until: key.until,
    }
}

/// Tries every key, several at a time, so that a pool of dead connections does not take minutes.
fn check_all<'a>(
    pool: &'a PoolSettings,
    environ: &dyn Environ,
    ask: Ask<'_>,
) -> Result<BTreeMap<&'a str, Result<(), String>>, Trouble> {
    let (ring, _) = KeyRing::load(pool, environ)?;
    if pool.keys.is_empty() {
        ring.require(&["any provider"])?;
    }
    let one = |(index, key): (usize, &'a KeyConfig)| {
        let result = if let Some(secret) = ring.secret(KeyIndex(index as u16)) {
            ask(pool, key, secret).map_err(|why| hidden(&why, secret))
        } else {
            let missing = ring.missing().find(|(i, ..)| usize::from(i.0) == index);
            Err(missing.map_or_else(|| "no secret".to_owned(), |(_, _, why)| why.to_owned()))
        };
        (key.name.as_str(), result)
    };
    let next = Mutex::new(pool.keys.iter().enumerate());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || std::iter::from_fn(take).map(one).collect::<Vec<_>>();
    let checks = thread::scope(|scope| {
        let workers: Vec<_> = (0..pool.keys.len().min(AT_ONCE)).map(|_| scope.spawn(worker)).collect();
        let finished = workers.into_iter().map(thread::ScopedJoinHandle::join);
        finished.map(Result::unwrap_or_default).collect::<Vec<_>>()
    });
    Ok(checks.into_iter().flatten().collect())
}

fn table(rows: &[&Row<'_>], checked: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut header =
        vec!["NAME", "PROVIDER", "GROUP", "LIMITS", "LEFT/MIN", "LEFT/DAY", "STATE", "UNTIL", "FROM"];
    if checked {
        header.push("CHECK");
    }
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut lines: Vec<Vec<String>> = vec![header.into_iter().map(str::to_owned).collect()];
    for row in rows {
        let mut line = vec![
            row.name.to_owned(),
            row.provider.to_owned(),
            row.quota_group.unwrap_or("its own").to_owned(),
            limits_words(row),
            number(row.left_minute),
            number(row.left_day),
            row.state.clone(),
            row.until.map_or_else(|| "-".to_owned(), |until| until.to_string()),
            row.source.clone(),
        ];
        line.extend(row.check.clone());
        lines.push(line);
    }
    pool::write_columns(out, &lines)
}

fn limits_words(row: &Row<'_>) -> String {
    let mut words: Vec<String> = [(row.rpm, "rpm"), (row.tpm, "tpm"), (row.rpd, "rpd")]
        .iter()
        .filter_map(|(limit, unit)| limit.map(|limit| format!("{limit} {unit}")))
        .collect();
    if !row.models.is_empty() {
        words.push(format!("{} by model", row.models.len()));
    }
    if words.is_empty() { "learned".to_owned() } else { words.join(", ") }
}

/// A provider may repeat a key in its refusal.
fn hidden(text: &str, secret: &Secret) -> String {
    text.replace(secret.expose(), &format!("[REDACTED:{}]", secret.name()))
}

/// Asks a provider for its list of models with this key: the answer says whether the key is good, and costs nothing.
pub fn ask_provider(pool: &PoolSettings, key: &KeyConfig, secret: &Secret) -> Result<(), String> {
    let Some(provider) = pool.providers.get(&key.provider) else {
        return Err(format!("there is no provider {:?}", key.provider));
    };
    let request = build_key_check(provider.kind, &provider.base_url, secret.expose());
    let proxy = provider.network.proxy.as_deref();
    let route = Route::choose(proxy, &provider.base_url, |name| std::env::var(name).ok())?;
    let mut call = agent(&route).get(&request.url).config().timeout_global(Some(CHECK_TIME)).build();
    for (name, value) in &request.headers {
        call = call.header(*name, value);
    }
    let mut reply = call.call().map_err(|e| format!("no answer: {e}"))?;
    let headers: Vec<(String, String)> = reply
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let status = reply.status().as_u16();
    let body = reply.body_mut().with_config().limit(MAX_REPLY_BYTES).read_to_vec();
    // A good status with a body that is too long or cut is still a good key.
    let body = body.unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match read_key_check(provider.kind, status, &headers, &body, now) {
        None => Ok(()),
        Some(refusal) => Err(words(&refusal)),
    }
}

fn words(refusal: &Refusal) -> String {
    let what = match refusal {
        Refusal::KeyRefused { .. } => "the key was refused",
        Refusal::Billing { .. } => "the account cannot pay",
        Refusal::Limited { .. } => "a quota is used up",
        Refusal::Overloaded { .. } => "the provider is overloaded",
        Refusal::RequestRefused { .. } => "the check itself was refused",
        Refusal::Transient { .. } => "a passing fault",
    };
    format!("{what}: {}", refusal.detail())
}

#[cfg(test)]
mod tests;
