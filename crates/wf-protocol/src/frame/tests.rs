//! Frames: every message goes through, and no bytes break the decoder.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::limits::MAX_HELLO_BYTES;
use crate::{
    CallOutcome, DenyCause, Dimension, JobVerdict, LeaseRequest, QuotaHint, RefusalCode, StopReason,
    WaitReason,
};

fn dimension() -> impl Strategy<Value = Dimension> {
    use Dimension::{RequestsPerDay, RequestsPerMinute, TokensPerMinute};
    prop_oneof![Just(RequestsPerMinute), Just(TokensPerMinute), Just(RequestsPerDay)]
}

fn hint() -> impl Strategy<Value = QuotaHint> {
    (dimension(), any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
        |(dimension, limit, remaining, reset_ms)| QuotaHint { dimension, limit, remaining, reset_ms },
    )
}

fn outcome() -> impl Strategy<Value = CallOutcome> {
    prop_oneof![
        (any::<u64>(), any::<u64>(), vec(hint(), 0..6))
            .prop_map(|(tokens_in, tokens_out, hints)| CallOutcome::Ok { tokens_in, tokens_out, hints }),
        (
            option::of(dimension()),
            any::<Option<u64>>(),
            any::<Option<u64>>(),
            any::<bool>(),
            vec(hint(), 0..6)
        )
            .prop_map(|(dimension, retry_after_ms, limit, slow_down, hints)| CallOutcome::Limited {
                dimension,
                retry_after_ms,
                limit,
                slow_down,
                hints
            }),
        any::<Option<u64>>().prop_map(|retry_after_ms| CallOutcome::Overloaded { retry_after_ms }),
        any::<String>().prop_map(|detail| CallOutcome::KeyRefused { detail }),
        any::<String>().prop_map(|detail| CallOutcome::Billing { detail }),
        any::<String>().prop_map(|detail| CallOutcome::RequestRefused { detail }),
        any::<String>().prop_map(|detail| CallOutcome::Transient { detail }),
        Just(CallOutcome::Abandoned),
    ]
}

fn verdict() -> impl Strategy<Value = JobVerdict> {
    use JobVerdict::{Approved, Failed, Interrupted, NeedsRevision};
    prop_oneof![Just(Approved), Just(NeedsRevision), Just(Interrupted), Just(Failed)]
}

fn to_supervisor() -> impl Strategy<Value = ToSupervisor> {
    prop_oneof![
        (any::<u16>(), any::<String>())
            .prop_map(|(version, token)| ToSupervisor::Hello { version, token: token.into() }),
        (any::<u64>(), any::<String>(), any::<String>(), any::<u64>(), any::<u16>()).prop_map(
            |(call, provider, model, tokens, share)| {
                ToSupervisor::Acquire(LeaseRequest { call, provider, model, tokens, share })
            }
        ),
        (any::<u64>(), outcome()).prop_map(|(lease, outcome)| ToSupervisor::Release { lease, outcome }),
        (any::<String>(), any::<u32>(), any::<u16>())
            .prop_map(|(node, iteration, share)| ToSupervisor::Progress { node, iteration, share }),
        any::<String>().prop_map(|node| ToSupervisor::Checkpointed { node }),
        (verdict(), any::<String>(), any::<Option<(String, String)>>())
            .prop_map(|(verdict, detail, output)| ToSupervisor::Finished { verdict, detail, output }),
    ]
}

fn to_worker() -> impl Strategy<Value = ToWorker> {
    let code = prop_oneof![
        Just(RefusalCode::Version),
        Just(RefusalCode::Token),
        Just(RefusalCode::TooLarge),
        Just(RefusalCode::Malformed)
    ];
    let reason =
        prop_oneof![Just(WaitReason::AllReserved), Just(WaitReason::Backoff), Just(WaitReason::NoUsableKey)];
    let cause = prop_oneof![Just(DenyCause::MaxWait), Just(DenyCause::PoolDead), Just(DenyCause::KeyRefused)];
    let stop =
        prop_oneof![Just(StopReason::Shutdown), Just(StopReason::Watchdog), Just(StopReason::PoolDead)];
    prop_oneof![
        (any::<u16>(), any::<String>()).prop_map(|(version, job)| ToWorker::Welcome { version, job }),
        (code, any::<String>()).prop_map(|(code, detail)| ToWorker::Refused { code, detail }),
        (any::<u64>(), any::<u64>(), any::<String>(), any::<String>(), any::<u64>()).prop_map(
            |(call, lease, key, secret, expires_ms)| {
                ToWorker::Granted { call, lease, key, secret: secret.into(), expires_ms }
            }
        ),
        (any::<u64>(), reason, any::<Option<u64>>()).prop_map(|(call, reason, wait_ms)| ToWorker::Waiting {
            call,
            reason,
            wait_ms
        }),
        (any::<u64>(), cause, any::<String>(), any::<bool>())
            .prop_map(|(call, cause, detail, passing)| { ToWorker::Denied { call, cause, detail, passing } }),
        (stop, any::<u64>()).prop_map(|(reason, grace_ms)| ToWorker::Stop { reason, grace_ms }),
    ]
}

/// Feeds a stream in pieces of the given sizes (over and over) and reads all that comes out.
fn read_in_pieces<M: Message>(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<M>, Option<FrameError>) {
    let mut decoder = Decoder::new(limit);
    let mut messages = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(*size));
        rest = after;
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next().err(), Some(error.clone()), "an error is final");
                    return (messages, Some(error));
                }
            }
        }
        assert!(decoder.buffer.unread().len() < HEADER_BYTES + limit, "more than a frame is held");
        if rest.is_empty() {
            return (messages, decoder.finish().err());
        }
    }
    unreachable!("the sizes are never empty")
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(messages: &[M], sizes: &[usize]) {
    let frames: Vec<_> = messages.iter().map(|m| encode(m).unwrap()).collect();
    let stream: Vec<u8> = frames.iter().flat_map(|frame| frame.iter().copied()).collect();
    let (read, error) = read_in_pieces::<M>(&stream, sizes, MAX_FRAME_BYTES);
    assert_eq!((read.as_slice(), error), (messages, None));
}

/// Frames around a mutated or arbitrary body: with a true length, so that the body itself is looked at.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// What is accepted must be a message that means the same when it is sent on.
fn accepts_only_messages<M: Message + PartialEq + std::fmt::Debug>(stream: &[u8], sizes: &[usize]) {
    let (read, _) = read_in_pieces::<M>(stream, sizes, MAX_HELLO_BYTES);
    round_trip(&read, &[usize::MAX]);
}

proptest! {
    #[test]
    fn every_message_to_the_supervisor_arrives(messages in vec(to_supervisor(), 0..6), sizes in vec(1_usize..80, 1..5)) {
        round_trip(&messages, &sizes);
    }

    #[test]
    fn every_message_to_a_worker_arrives(messages in vec(to_worker(), 0..6), sizes in vec(1_usize..80, 1..5)) {
        round_trip(&messages, &sizes);
    }

    #[test]
    fn any_bytes_are_survived(stream in vec(any::<u8>(), 0..300), sizes in vec(1_usize..80, 1..5)) {
        accepts_only_messages::<ToSupervisor>(&stream, &sizes);
        accepts_only_messages::<ToWorker>(&stream, &sizes);
    }

    /// Bodies that begin like messages get further than noise does.
    #[test]
    fn any_body_is_survived(
        tag in 0_u8..8, inner in 0_u8..10, body in vec(prop_oneof![0_u8..4, 248_u8..=255, any::<u8>()], 0..60),
    ) {
        let body: Vec<u8> = [tag, inner].into_iter().chain(body).collect();
        accepts_only_messages::<ToSupervisor>(&framed(&body), &[usize::MAX]);
        accepts_only_messages::<ToWorker>(&framed(&body), &[usize::MAX]);
    }

    /// True messages with a few bytes changed get furthest of all.
    #[test]
    fn mutated_messages_are_survived(
        up in to_supervisor(), down in to_worker(), edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mutate = |frame: &[u8]| {
            let mut frame = frame.to_vec();
            for (index, byte) in &edits {
                let at = index.index(frame.len());
                frame[at] = *byte;
            }
            frame
        };
        accepts_only_messages::<ToSupervisor>(&mutate(&encode(&up).unwrap()), &[usize::MAX]);
        accepts_only_messages::<ToWorker>(&mutate(&encode(&down).unwrap()), &[usize::MAX]);
    }

    #[test]
    fn a_cut_stream_is_never_taken_for_a_whole_one(message in to_supervisor(), cut in any::<prop::sample::Index>()) {
        let frame = encode(&message).unwrap();
        let cut = cut.index(frame.len() - 1) + 1;
        let (read, error) = read_in_pieces::<ToSupervisor>(&frame[..cut], &[usize::MAX], MAX_FRAME_BYTES);
        prop_assert!(read.is_empty());
        let missing = if cut < HEADER_BYTES { HEADER_BYTES - cut } else { frame.len() - cut };
        prop_assert_eq!(error, Some(FrameError::Truncated { missing }));
    }
}

fn welcome_of(job_bytes: usize) -> ToWorker {
    ToWorker::Welcome { version: 1, job: "j".repeat(job_bytes) }
}

/// Tag, version, and a length of five bytes.
const WELCOME_OVERHEAD: usize = 1 + 1 + 5;

#[test]
fn a_megabyte_is_the_most_on_both_sides() {
    let largest = welcome_of(MAX_FRAME_BYTES - WELCOME_OVERHEAD);
    assert_eq!(encode(&largest).unwrap().len(), HEADER_BYTES + MAX_FRAME_BYTES);
    round_trip(&[largest, welcome_of(0)], &[60_000]);

    let over = welcome_of(MAX_FRAME_BYTES - WELCOME_OVERHEAD + 1);
    let too_large = FrameError::TooLarge { bytes: MAX_FRAME_BYTES + 1, limit: MAX_FRAME_BYTES };
    assert_eq!(encode(&over), Err(too_large.clone()));
    let mut decoder = Decoder::<ToWorker>::new(usize::MAX);
    decoder.push(&u32::try_from(MAX_FRAME_BYTES + 1).unwrap().to_le_bytes());
    assert_eq!(decoder.next(), Err(too_large));
}

#[test]
fn a_length_is_refused_at_the_header_and_never_allocated() {
    for (limit, announced) in [(MAX_FRAME_BYTES, u32::MAX), (MAX_HELLO_BYTES, 4097)] {
        let mut decoder = Decoder::<ToSupervisor>::new(limit);
        decoder.push(&announced.to_le_bytes());
        assert!(decoder.buffer.bytes.capacity() < 64);
        let bytes = usize::try_from(announced).unwrap();
        assert_eq!(decoder.next(), Err(FrameError::TooLarge { bytes, limit }));
        decoder.push(&[0; 10_000]);
        assert_eq!(decoder.buffer.bytes.capacity(), 0, "a failed decoder holds nothing");
    }
    let mut decoder = Decoder::<ToSupervisor>::new(MAX_FRAME_BYTES);
    decoder.push(&u32::try_from(MAX_FRAME_BYTES).unwrap().to_le_bytes());
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.buffer.bytes.capacity() < 64, "announced is not arrived");
}

#[test]
fn what_is_no_message_is_told_without_its_content() {
    let cases: [(&[u8], &str); 7] = [
        (&[], "a frame that is no message: it ends too early"),
        (&[9], "a frame that is no message: invalid value: integer `9`, expected variant index 0 <= i < 6"),
        (&[4, 3, b'N', b'1'], "a frame that is no message: it ends too early"),
        (&[4, 2, 0xff, 0xfe], "a frame that is no message: a string that is not UTF-8"),
        (&[4, 2, b'N', b'1', 0, 0], "a frame with 2 bytes after its message"),
        (&[0, 252, 0, 0, 1, 0], "a frame that is no message: an U32 where an U16 belongs"),
        // A string that claims 2^60 bytes.
        (
            &[4, 253, 0, 0, 0, 0, 0, 0, 0, 16],
            "a frame that is no message: it needs more memory than a message may",
        ),
    ];
    for (body, words) in cases {
        let (_, error) = read_in_pieces::<ToSupervisor>(&framed(body), &[3], MAX_FRAME_BYTES);
        assert_eq!(error.map(|e| e.to_string()).as_deref(), Some(words), "{body:?}");
    }
}

#[test]
fn many_hints_are_read_without_trusting_their_number() {
    // A release with a list of hints that claims 2^40 of them and has none.
    let body = [2, 0, 0, 0, 0, 253, 0, 0, 0, 0, 0, 1, 0, 0];
    let (read, error) = read_in_pieces::<ToSupervisor>(&framed(&body), &[usize::MAX], MAX_FRAME_BYTES);
    assert!(read.is_empty());
    assert_eq!(error, Some(FrameError::Malformed { what: "it ends too early".into() }));
}

#[test]
fn read_bytes_are_overwritten() {
    let granted =
        ToWorker::Granted { call: 1, lease: 1, key: "k".into(), secret: "hunter2".into(), expires_ms: 1 };
    let mut decoder = Decoder::<ToWorker>::new(MAX_FRAME_BYTES);
    decoder.push(&encode(&granted).unwrap());
    decoder.push(&[1]);
    assert_eq!(decoder.next(), Ok(Some(granted)));
    let (read, unread) = decoder.buffer.bytes.split_at(decoder.buffer.start);
    assert!(read.iter().all(|byte| *byte == 0) && !read.is_empty());
    assert_eq!(unread, [1]);
}
