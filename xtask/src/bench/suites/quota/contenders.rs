//! Who shares the keys how.

use super::lane::Who;
use crate::bench::peers::{ASYNC_BATCH_INSTALL, LITELLM_INSTALL, Peer, Peers};
use crate::bench::report::Kind;

const LITELLM: &str = include_str!("../../peers/litellm_router.py");
const ASYNC_BATCH: &str = include_str!("../../peers/async_batch.py");

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// What it does.
    pub how: String,
    /// How it is run; `None` if it is not here.
    pub who: Option<Who>,
    /// How it could be here.
    pub install: &'static str,
}

impl Contender {
    /// `wf-supervisor`.
    pub fn ours() -> Contender {
        Contender {
            name: "wf-supervisor".to_owned(),
            how: "wf-supervisor run items.txt -j 48 -- worker".to_owned(),
            who: Some(Who::Supervisor),
            install: "",
        }
    }

    /// Whether it is.
    pub fn is_ours(&self) -> bool {
        matches!(self.who, Some(Who::Supervisor))
    }

    /// What it is to us.
    pub fn kind(&self) -> Kind {
        if self.is_ours() { Kind::Ours } else { Kind::Peer }
    }
}

/// Everybody else.
pub fn peers(peers: &Peers) -> Vec<Contender> {
    let policy = |name: &str, policy, how: &str| Contender {
        name: name.to_owned(),
        how: format!("a thread per workflow over the same HTTP: {how}"),
        who: Some(Who::Policy(policy)),
        install: "",
    };
    let script = |name: &str, peer: Option<&Peer>, text, how: &str, install| Contender {
        name: name.to_owned(),
        how: peer.map_or_else(|| how.to_owned(), |peer| format!("{}: {how}", peer.version)),
        who: peer.map(|peer| Who::Script { python: peer.program.clone(), text }),
        install,
    };
    vec![
        policy(
            "pinned keys, SDK retries (policy)",
            "pinned",
            "each workflow has its key, and does what the SDKs do (two retries, exponential backoff, `retry-after` up to a minute \
             honoured)",
        ),
        policy(
            "shuffle, fixed cool-down (policy)",
            "shuffle",
            "a key by chance, a refused one rests for 5 s, a call is tried three times",
        ),
        script(
            "litellm's router",
            peers.litellm.as_ref(),
            LITELLM,
            "`Router` with a deployment per key and its defaults (simple shuffle, two retries, 5 s of cool-down)",
            LITELLM_INSTALL,
        ),
        policy(
            "coordinated cool-down (policy)",
            "coordinated",
            "keys in turns, a refusal stops everybody as long as told, or for a minute",
        ),
        script(
            "async-batch-llm",
            peers.async_batch.as_ref(),
            ASYNC_BATCH,
            "an `LLMCallPool` per quota group with the group's limit (`max_requests_per_minute`) and its defaults",
            ASYNC_BATCH_INSTALL,
        ),
        policy(
            "rotate at once (policy)",
            "rotate",
            "the next key at once after a refusal, a rest of 5 s when all have refused",
        ),
        policy(
            "a key per workflow (policy)",
            "exclusive",
            "12 workflows at a time, each with a key to itself from beginning to end; a refusal is waited out as told",
        ),
    ]
}
