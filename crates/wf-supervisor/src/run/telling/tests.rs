//! Scripted storms, played on the real coordinator in virtual time: what is said of them, line by line.

use jiff::tz::TimeZone;
use wf_core::credentials::{
    Budget, CallId, CallOutcome, CredentialCoordinator, Decision, KeySpec, LeaseId, LeaseRequest, Policy,
    PoolSpec,
};
use wf_core::{AttemptId, ItemId, ItemIndex};

use super::*;

/// A pool of keys, each with a project of its own, workers that call, and somebody who listens.
struct Stage {
    pool: CredentialCoordinator,
    teller: Teller,
    speaker: Speaker,
    now: Time,
    /// Leases that are out, by the worker that has one.
    out: BTreeMap<u32, (LeaseId, KeyIndex)>,
    heard: Vec<String>,
    calls: u64,
}

impl Stage {
    fn new(names: &[&str]) -> Stage {
        let key = |name: &&str| KeySpec {
            name: (*name).to_owned(),
            provider: "gemini".to_owned(),
            quota_group: None,
            max_in_flight: None,
        };
        let policy = Policy {
            max_wait: Duration::from_secs(86_400),
            max_retries: Some(50),
            lease_time: Duration::from_secs(3600),
            budget: Budget::Unlimited,
            seed: 7,
        };
        let spec = PoolSpec {
            keys: names.iter().map(key).collect(),
            midnights: [("gemini".to_owned(), vec![Time::from_millis(2 * 3_600_000)])].into(),
            ..PoolSpec::default()
        };
        Stage {
            pool: CredentialCoordinator::new(spec, policy, Time::ZERO),
            teller: Teller::default(),
            speaker: Speaker {
                origin: "2026-11-21T05:14:49Z".parse().unwrap(),
                zone: TimeZone::UTC,
                keys: names.iter().map(|name| (*name).to_owned()).collect(),
            },
            now: Time::ZERO,
            out: BTreeMap::new(),
            heard: Vec::new(),
            calls: 0,
        }
    }

    /// As the hands do it.
    fn take(&mut self, decisions: Vec<Decision>) {
        let (mut records, mut notices) = (Vec::new(), Vec::new());
        for decision in decisions {
            match decision {
                Decision::Granted { who, lease, key, .. } => {
                    self.out.insert(who.item.0, (lease, key));
                }
                Decision::Returned { lease, key, outcome, .. } => records.push(Record::LeaseReturned {
                    item: ItemId::new("x").unwrap(),
                    attempt: 1,
                    lease: lease.0,
                    key: self.pool.key_name(key).to_owned(),
                    outcome: outcome.to_owned(),
                    tokens_in: 0,
                    tokens_out: 0,
                }),
                Decision::Notice(notice) => notices.push(notice),
                _ => {}
            }
        }
        if !notices.is_empty() || self.teller.concerns(&records) {
            let keys = self.pool.status(self.now);
            let lines = self.teller.turn(&records, &notices, &self.speaker, &keys, self.now);
            let time = self.speaker.moment(self.now, self.now);
            self.heard.extend(lines.into_iter().map(|line| format!("{time} {line}")));
        }
    }

    fn at(&mut self, seconds: u64) -> &mut Stage {
        self.now = Time::from_millis(seconds * 1000);
        let mut out = Vec::new();
        self.pool.advance(self.now, &mut out);
        self.take(out);
        self
    }

    fn who(worker: u32) -> AttemptId {
        AttemptId { item: ItemIndex(worker), number: 1 }
    }

    fn ask(&mut self, worker: u32, call: u64) {
        let request = LeaseRequest {
            call: CallId(call),
            provider: "gemini".to_owned(),
            model: "flash".to_owned(),
            tokens: 100,
            share: 0,
            whole_attempt: false,
        };
        let mut out = Vec::new();
        self.pool.request(Stage::who(worker), request, self.now, &mut out);
        self.take(out);
    }

    /// So many workers ask for a new call each.
    fn ask_all(&mut self, workers: u32) -> &mut Stage {
        self.calls += 1;
        (0..workers).for_each(|worker| self.ask(worker, self.calls));
        self
    }

    /// Whoever has a lease of such a key gives it back, the last first, and asks again when it was refused.
    fn give_back(&mut self, which: &str, outcome: &CallOutcome) -> &mut Stage {
        let is_it = |key: KeyIndex| which == "*" || self.pool.key_name(key) == which;
        let back: Vec<(u32, LeaseId)> =
            self.out.iter().filter(|(_, (_, key))| is_it(*key)).map(|(w, (lease, _))| (*w, *lease)).collect();
        for (worker, lease) in back {
            self.out.remove(&worker);
            let mut out = Vec::new();
            self.pool.release(Stage::who(worker), lease, outcome, self.now, &mut out);
            self.take(out);
            if !matches!(outcome, CallOutcome::Ok { .. }) {
                self.ask(worker, self.calls);
            }
        }
        self
    }

    fn heard(&mut self) -> String {
        let lines = self.teller.farewell(&self.speaker);
        self.heard.extend(lines.into_iter().map(|line| format!("at the end {line}")));
        self.heard.join("\n")
    }
}

fn ok() -> CallOutcome {
    CallOutcome::Ok { tokens_in: 60, tokens_out: 40, hints: Vec::new() }
}

fn limited(dimension: Dimension, seconds: u64) -> CallOutcome {
    let retry_after = Some(Duration::from_secs(seconds));
    CallOutcome::Limited {
        dimension: Some(dimension),
        retry_after,
        limit: None,
        slow_down: false,
        hints: Vec::new(),
    }
}

#[test]
fn a_storm_is_a_few_lines_with_a_count() {
    let mut stage = Stage::new(&["gemini-a", "gemini-b", "gemini-c", "gemini-d", "gemini-e"]);
    let refusal = limited(Dimension::RequestsPerMinute, 43);
    stage.ask_all(40).at(38).give_back("*", &refusal);
    // As the blocks end, the first calls are refused again, three times over.
    for minute in [90, 140, 190] {
        stage.at(minute).give_back("*", &refusal);
    }
    for second in [240, 241, 242, 243, 244, 245] {
        stage.at(second).give_back("*", &ok());
    }
    insta::assert_snapshot!(stage.heard(), @r"
    05:15:27 Rate limit hit on gemini-a (requests per minute). Backing off for 45s. 4 of 5 keys usable.
    05:15:27 Rate limit hit on gemini-b (requests per minute). Backing off for 44s. 3 of 5 keys usable.
    05:15:27 Rate limit hit on gemini-c (requests per minute). Backing off for 47s. 2 of 5 keys usable.
    05:15:27 All keys rate-limited until 05:16:10 (in 44s). Pausing all workflows...
    05:17:09 Rate limit hit on gemini-a (requests per minute). Backing off for 44s. 4 of 5 keys usable (and 42 more refusals in this episode).
    05:17:09 All keys rate-limited until 05:17:52 (in 44s). Pausing all workflows...
    05:18:49 5 keys are back: 5 of 5 keys usable (and 9 more refusals in this episode).
    ");
}

#[test]
fn a_block_has_a_line_for_its_beginning_and_one_for_its_end() {
    let mut stage = Stage::new(&["gemini-a", "gemini-b"]);
    stage.ask_all(2).at(1).give_back("gemini-b", &limited(Dimension::RequestsPerMinute, 56));
    stage.at(20).give_back("*", &ok()).ask_all(2).at(30).give_back("*", &ok());
    stage.at(70).ask_all(2).at(71).give_back("*", &ok()).ask_all(2).at(72).give_back("*", &ok());
    // A short one is over before anybody would miss the key.
    stage.at(100).ask_all(2).give_back("gemini-a", &limited(Dimension::RequestsPerMinute, 1));
    stage.at(110).give_back("*", &ok()).at(120).ask_all(2).at(130).give_back("*", &ok());
    insta::assert_snapshot!(stage.heard(), @r"
    05:14:50 Rate limit hit on gemini-b (requests per minute). Backing off for 59s. 1 of 2 keys usable.
    05:16:00 gemini-b is back: 2 of 2 keys usable.
    05:16:29 Rate limit hit on gemini-a (requests per minute). Backing off for 2s. 1 of 2 keys usable.
    05:16:39 gemini-a is back: 2 of 2 keys usable (and 1 more refusal in this episode).
    ");
}

#[test]
fn refused_keys_unpaid_accounts_and_days_are_told_once() {
    let mut stage = Stage::new(&["gemini-a", "gemini-b", "gemini-c", "gemini-d"]);
    let bad = CallOutcome::KeyRefused { detail: "API key not valid".to_owned() };
    stage.ask_all(8).at(1).give_back("gemini-b", &bad);
    stage.at(2).give_back("gemini-b", &bad).give_back("*", &ok());
    let unpaid = CallOutcome::Billing { detail: "credit balance is too low".to_owned() };
    stage.at(3).ask_all(6).give_back("gemini-c", &unpaid).give_back("gemini-c", &unpaid);
    stage.at(4).give_back("gemini-d", &limited(Dimension::RequestsPerDay, 30)).give_back("*", &ok());
    for second in [10, 20, 30, 40] {
        stage.at(second).ask_all(4).give_back("*", &ok());
    }
    // The provider's day is over, and so is the hour after which held keys are probed.
    stage.at(2 * 3600 + 3600).ask_all(6).give_back("*", &ok()).ask_all(6).give_back("*", &ok());
    insta::assert_snapshot!(stage.heard(), @r"
    05:14:50 Key gemini-b was refused once and is used last until another call decides: API key not valid
    05:14:50 Key gemini-b was refused by its provider and is not used any more: API key not valid. 3 of 4 keys usable.
    05:14:52 The account behind gemini-c cannot pay; its keys rest: credit balance is too low. 2 of 4 keys usable.
    05:14:53 The day's requests of gemini-d are used up. Nothing is sent before 07:15:01 (in 2h). 1 of 4 keys usable.
    08:14:49 gemini-d is back: 2 of 4 keys usable.
    ");
}

#[test]
fn overload_is_one_episode_however_often_the_probe_fails() {
    let mut stage = Stage::new(&["gemini-a", "gemini-b"]);
    let busy = CallOutcome::Overloaded { retry_after: Some(Duration::from_secs(5)) };
    stage.ask_all(6).at(1);
    for second in [2, 9, 16, 23, 30, 37, 44] {
        stage.at(second).give_back("*", &busy);
    }
    for second in [60, 61, 62, 75, 80] {
        stage.at(second).give_back("*", &ok()).ask_all(2);
    }
    insta::assert_snapshot!(stage.heard(), @r"
    05:14:51 Provider gemini is overloaded. Leaving it alone for 6s.
    05:15:49 Provider gemini answers again (and 8 more refusals in this episode).
    ");
}

#[test]
fn a_run_that_ends_in_a_storm_tells_what_was_left_out() {
    let mut stage = Stage::new(&["gemini-a"]);
    stage.ask_all(8).at(5).give_back("*", &limited(Dimension::TokensPerMinute, 30));
    insta::assert_snapshot!(stage.heard(), @r"
    05:14:54 Rate limit hit on gemini-a (tokens per minute). Backing off for 32s. 0 of 1 key usable.
    05:14:54 All keys rate-limited until 05:15:25 (in 32s). Pausing all workflows...
    at the end 7 more refusals by rate limits of gemini since 05:14:54.
    ");
}

#[test]
fn what_earlier_runs_left_is_said_at_the_start() {
    let mut stage = Stage::new(&["gemini-a", "gemini-b"]);
    let keys = stage.pool.status(stage.now);
    assert_eq!(stage.teller.opening(&stage.speaker, &keys), None);
    let mut keys = keys;
    (keys[0].state, keys[0].detail) = (KeyState::Quarantined, "API key not valid".to_owned());
    let quota = QuotaStatus {
        model: "flash".to_owned(),
        requests: None,
        tokens: None,
        requests_from: None,
        tokens_from: None,
        day_limit: None,
        day_left: None,
        limited_by: Some(Dimension::RequestsPerDay),
        until: Some(Time::from_millis(9_911_000)),
    };
    keys[1].quotas = vec![quota];
    assert_eq!(
        stage.teller.opening(&stage.speaker, &keys).unwrap(),
        "From earlier runs: gemini-a is quarantined (API key not valid); the day of gemini-b is used up until 08:00:00. \
         0 of 2 keys usable."
    );
    assert!(stage.teller.misses_a_key());
    assert_eq!(stage.teller.look(&stage.speaker, &keys, stage.now), [""; 0], "it is known");
    stage.teller.renewed("gemini-a", &keys);
    assert!(!stage.teller.misses_a_key());
}
