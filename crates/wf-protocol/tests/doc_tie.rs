//! Ties `docs/protocol.md` to the code: neither the bytes nor the page can change alone.
//!
//! Four ties: the digest of the definitions, a row for every limit, a row for every variant with its number, and the
//! bytes of a sample of each message.
#![expect(clippy::unwrap_used, reason = "all of this is test code, also what is outside of a `#[test]`")]

use std::fmt::Debug;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wf_protocol::{
    CallOutcome, Decoder, DenyCause, Dimension, FrameError, JobVerdict, LeaseRequest, Message, QuotaHint,
    RefusalCode, StopReason, ToSupervisor, ToWorker, VERSION, WaitReason, encode, limits,
};

const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";
const HEADER_BYTES: usize = 4;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines between the fence ```` ```name ```` and its end.
fn block<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let fence = format!("```{name}");
    let block: Vec<_> =
        page.lines().skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```").collect();
    assert!(!block.is_empty(), "docs/protocol.md has no block {fence}");
    block
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// SHA-256 over the code of the definitions: comments (from `//` to the end of the line) and white space removed.
fn digest() -> String {
    let mut digest = Sha256::new();
    for file in ["message.rs", "limits.rs"] {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src", file].iter().collect();
        let source = std::fs::read_to_string(path).unwrap();
        for line in source.lines() {
            let code = line.split("//").next().unwrap_or("");
            assert!(
                !code.contains('"'),
                "{file} must stay free of string literals, `//` could be inside one"
            );
            digest.update(code.split_whitespace().collect::<String>());
        }
    }
    hex(&digest.finalize())
}

#[test]
fn the_page_was_looked_at_when_the_definitions_changed() {
    let line = format!("<!-- protocol-digest: {} -->", digest());
    assert!(
        page().lines().any(|l| l == line),
        "the definitions in crates/wf-protocol/src/{{message,limits}}.rs changed: bring docs/protocol.md in line with \
         them, raise VERSION if bytes changed, then put this line into the page:\n{line}"
    );
}

#[test]
fn the_page_has_every_limit() {
    let seconds = |timeout: std::time::Duration| usize::try_from(timeout.as_secs()).unwrap();
    let limits = [
        ("VERSION", usize::from(VERSION)),
        ("MAX_FRAME_BYTES", limits::MAX_FRAME_BYTES),
        ("MAX_HELLO_BYTES", limits::MAX_HELLO_BYTES),
        ("HELLO_TIMEOUT", seconds(limits::HELLO_TIMEOUT)),
        ("ANSWER_TIMEOUT", seconds(limits::ANSWER_TIMEOUT)),
        ("MAX_SOCKET_PATH_BYTES", limits::MAX_SOCKET_PATH_BYTES),
        ("TOKEN_DIGITS", limits::TOKEN_DIGITS),
        ("MAX_NAME_BYTES", limits::MAX_NAME_BYTES),
        ("MAX_MODEL_BYTES", limits::MAX_MODEL_BYTES),
        ("MAX_TEXT_BYTES", limits::MAX_TEXT_BYTES),
        ("MAX_PATH_BYTES", limits::MAX_PATH_BYTES),
        ("HASH_DIGITS", limits::HASH_DIGITS),
        ("MAX_HINTS", limits::MAX_HINTS),
        ("FULL_SHARE", usize::from(limits::FULL_SHARE)),
    ];
    let page = page();
    for (name, value) in limits {
        let row = format!("| `{name}` | {value} |");
        assert!(page.contains(&row), "docs/protocol.md lacks a row that begins {row}");
    }
}

fn request() -> LeaseRequest {
    LeaseRequest { call: 7, provider: "gemini".into(), model: "flash".into(), tokens: 70_000, share: 250 }
}

fn outcomes() -> Vec<CallOutcome> {
    let hint = QuotaHint {
        dimension: Dimension::TokensPerMinute,
        limit: Some(1_000_000),
        remaining: Some(250),
        reset_ms: None,
    };
    vec![
        CallOutcome::Ok { tokens_in: 1200, tokens_out: 250, hints: vec![hint] },
        CallOutcome::Limited {
            dimension: Some(Dimension::RequestsPerDay),
            retry_after_ms: Some(56_000),
            limit: None,
            slow_down: false,
            hints: vec![hint],
        },
        CallOutcome::Overloaded { retry_after_ms: None },
        CallOutcome::KeyRefused { detail: "no".into() },
        CallOutcome::Billing { detail: "no".into() },
        CallOutcome::RequestRefused { detail: "no".into() },
        CallOutcome::Transient { detail: "é".into() },
        CallOutcome::Abandoned,
    ]
}

fn to_supervisor() -> Vec<ToSupervisor> {
    let mut samples = vec![
        ToSupervisor::Hello { version: VERSION, token: TOKEN.into() },
        ToSupervisor::Acquire(request()),
        ToSupervisor::Progress { node: "N1_draft".into(), iteration: 2, share: 300 },
        ToSupervisor::Checkpointed { node: "N1_draft".into() },
        ToSupervisor::Finished {
            verdict: JobVerdict::Approved,
            detail: "ok".into(),
            output: Some(("a.md".into(), "0".repeat(limits::HASH_DIGITS))),
        },
        ToSupervisor::Finished { verdict: JobVerdict::Failed, detail: String::new(), output: None },
    ];
    samples.extend(outcomes().into_iter().map(|outcome| ToSupervisor::Release { lease: 3, outcome }));
    samples
}

fn to_worker() -> Vec<ToWorker> {
    vec![
        ToWorker::Welcome { version: VERSION, job: "{}".into() },
        ToWorker::Refused { code: RefusalCode::Token, detail: "no".into() },
        ToWorker::Granted {
            call: 7,
            lease: 3,
            key: "gemini-a".into(),
            secret: "s3cr3t".into(),
            expires_ms: 600_000,
        },
        ToWorker::Waiting { call: 7, reason: WaitReason::RateLimited, wait_ms: Some(43_000) },
        ToWorker::Denied { call: 7, cause: DenyCause::Budget, detail: "no".into(), passing: true },
        ToWorker::Stop { reason: StopReason::Shutdown, grace_ms: 5000 },
    ]
}

/// One line per message: its bytes after the length, and the message.
fn sample_lines<M: Message + Debug>(direction: &str, samples: &[M]) -> Vec<String> {
    let line =
        |message| format!("{direction}::{message:?}\n    {}", hex(&encode(message).unwrap()[HEADER_BYTES..]));
    samples.iter().map(line).collect()
}

#[test]
fn the_page_has_the_bytes_of_every_message() {
    let samples =
        [sample_lines("ToSupervisor", &to_supervisor()), sample_lines("ToWorker", &to_worker())].concat();
    let samples = samples.join("\n");
    let page = page();
    assert!(
        block(&page, "samples").join("\n") == samples,
        "the bytes of the messages changed (or the samples did): raise VERSION if bytes changed, and put this into the \
         block ```samples of docs/protocol.md:\n{samples}"
    );
}

#[test]
fn the_annotated_frame_is_a_true_one() {
    let page = page();
    let bytes = |line: &&str| line.split('|').next().unwrap_or("").replace(' ', "");
    let dump: String = block(&page, "hexdump").iter().map(bytes).collect();
    let frame =
        encode(&ToSupervisor::Progress { node: "N1_draft".into(), iteration: 2, share: 300 }).unwrap();
    assert_eq!(dump, hex(&frame));
}

/// The number of a variant, and what it is called: checked against the page's tables, and against the decoder for their
/// being all.
struct Numbers<'a> {
    page: &'a str,
    name: &'static str,
}

impl Numbers<'_> {
    /// `at` is where in the body of `wrap(variant)` the variant's number stands.
    fn check<V: Debug, M: Message + Debug>(&self, variants: &[V], at: usize, wrap: impl Fn(&V) -> M) {
        let heading = format!("`{}`", self.name);
        let start =
            self.page.find(&format!("### {heading}")).unwrap_or_else(|| panic!("no heading ### {heading}"));
        let section = &self.page[start..];
        let section = section[1..].find("\n#").map_or(section, |end| &section[..=end]);
        let mut frame = Vec::new();
        for (number, variant) in variants.iter().enumerate() {
            frame = encode(&wrap(variant)).unwrap().to_vec();
            assert_eq!(usize::from(frame[HEADER_BYTES + at]), number, "{variant:?}");
            let debug = format!("{variant:?}");
            let name = debug.split([' ', '(', '{']).next().unwrap_or("");
            let row = format!("| {number} | `{name}` |");
            assert!(section.contains(&row), "docs/protocol.md lacks a row under {heading} that begins {row}");
        }
        frame[HEADER_BYTES + at] = u8::try_from(variants.len()).unwrap();
        let mut decoder = Decoder::<M>::new(limits::MAX_FRAME_BYTES);
        decoder.push(&frame);
        let error = decoder.next().unwrap_err();
        let all = format!("0 <= i < {}", variants.len());
        assert!(
            matches!(&error, FrameError::Malformed { what } if what.contains(&all)),
            "{} has a variant that this test does not know: {error}",
            self.name
        );
    }
}

#[test]
fn the_page_has_every_variant_with_its_number() {
    let page = page();
    let numbers = |name| Numbers { page: &page, name };
    let mut messages = to_supervisor();
    messages.truncate(5);
    messages.insert(2, ToSupervisor::Release { lease: 3, outcome: CallOutcome::Abandoned });
    numbers("ToSupervisor").check(&messages, 0, ToSupervisor::clone);
    numbers("ToWorker").check(&to_worker(), 0, ToWorker::clone);
    numbers("CallOutcome")
        .check(&outcomes(), 2, |outcome| ToSupervisor::Release { lease: 0, outcome: outcome.clone() });
    let dimensions = [Dimension::RequestsPerMinute, Dimension::TokensPerMinute, Dimension::RequestsPerDay];
    numbers("Dimension").check(&dimensions, 4, |dimension| ToSupervisor::Release {
        lease: 0,
        outcome: CallOutcome::Limited {
            dimension: Some(*dimension),
            retry_after_ms: None,
            limit: None,
            slow_down: false,
            hints: Vec::new(),
        },
    });
    let verdicts =
        [JobVerdict::Approved, JobVerdict::NeedsRevision, JobVerdict::Interrupted, JobVerdict::Failed];
    numbers("JobVerdict").check(&verdicts, 1, |verdict| ToSupervisor::Finished {
        verdict: *verdict,
        detail: String::new(),
        output: None,
    });
    let reasons = [
        WaitReason::AllReserved,
        WaitReason::Pacing,
        WaitReason::RateLimited,
        WaitReason::Overloaded,
        WaitReason::Backoff,
        WaitReason::NoUsableKey,
    ];
    numbers("WaitReason").check(&reasons, 2, |reason| ToWorker::Waiting {
        call: 0,
        reason: *reason,
        wait_ms: None,
    });
    let causes = [
        DenyCause::MaxWait,
        DenyCause::Budget,
        DenyCause::PoolDead,
        DenyCause::NoSuchProvider,
        DenyCause::RateLimited,
        DenyCause::Unreachable,
        DenyCause::Refused,
        DenyCause::KeyRefused,
    ];
    numbers("DenyCause").check(&causes, 2, |cause| ToWorker::Denied {
        call: 0,
        cause: *cause,
        detail: String::new(),
        passing: false,
    });
    let stops = [StopReason::Shutdown, StopReason::Watchdog, StopReason::PoolDead];
    numbers("StopReason").check(&stops, 1, |reason| ToWorker::Stop { reason: *reason, grace_ms: 0 });
    let codes = [RefusalCode::Version, RefusalCode::Token, RefusalCode::TooLarge, RefusalCode::Malformed];
    numbers("RefusalCode").check(&codes, 1, |code| ToWorker::Refused { code: *code, detail: String::new() });
}
