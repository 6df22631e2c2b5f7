//! The queue: order, merging, and memory that stays bounded.

use super::*;
use proptest::prelude::*;

fn queue() -> (tempfile::TempDir, Queue) {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::new(dir.path().to_owned());
    (dir, queue)
}

fn segment(item: u32, stream: Stream, offset: u64, len: u32) -> Record {
    Record::Segment { item, segment: Segment { stream, offset, len } }
}

fn line(text: &str) -> Record {
    Record::Line { label: "X".into(), text: text.into() }
}

fn drain(queue: &mut Queue) -> Vec<Record> {
    let (mut all, mut batch) = (Vec::new(), Vec::new());
    while !queue.is_idle() {
        queue.take(&mut batch).unwrap();
        all.append(&mut batch);
    }
    all
}

#[test]
fn adjacent_segments_are_one_even_between_other_items() {
    use Stream::{Stderr, Stdout};
    let (_dir, mut queue) = queue();
    for record in [
        segment(1, Stdout, 0, 10),
        segment(2, Stdout, 0, 5),
        segment(1, Stdout, 10, 10),
        segment(1, Stderr, 20, 1),
        segment(1, Stdout, 21, 1),
        line("a message"),
        segment(1, Stdout, 22, 1),
        Record::Close { item: 1 },
        segment(1, Stdout, 23, 1),
        segment(2, Stdout, 5, MAX_MERGED_BYTES),
        segment(2, Stdout, 5 + u64::from(MAX_MERGED_BYTES), 1),
    ] {
        queue.push(record);
    }
    assert_eq!(
        drain(&mut queue),
        [
            segment(1, Stdout, 0, 20),
            segment(2, Stdout, 0, 5),
            segment(1, Stderr, 20, 1),
            segment(1, Stdout, 21, 1),
            line("a message"),
            segment(1, Stdout, 22, 1),
            Record::Close { item: 1 },
            segment(1, Stdout, 23, 1),
            segment(2, Stdout, 5, MAX_MERGED_BYTES),
            segment(2, Stdout, 5 + u64::from(MAX_MERGED_BYTES), 1),
        ]
    );
}

#[test]
fn a_million_segments_take_no_memory_and_keep_their_order() {
    let (_dir, mut queue) = queue();
    let record = |i: u32| {
        let stream = if i.is_multiple_of(2) { Stream::Stdout } else { Stream::Stderr };
        segment(i % 5, stream, u64::from(i) * 10, 1)
    };
    for i in 0..1_000_000 {
        queue.push(record(i));
        assert!(queue.newest.len() < MAX_RECORDS && queue.mergeable.len() <= 10);
    }
    assert!(queue.spilled.len() * 1000 < 1_000_000, "a few bytes for thousands of records");
    let (mut batch, mut next) = (Vec::new(), 0);
    while !queue.is_idle() {
        queue.take(&mut batch).unwrap();
        assert!(batch.len() <= BLOCK_BYTES / 8);
        for got in batch.drain(..) {
            assert_eq!(got, record(next));
            next += 1;
        }
    }
    assert_eq!(next, 1_000_000);
    assert_eq!(queue.spill.blocks(), 0, "the disk is given back");
}

#[test]
fn texts_are_bounded_too() {
    let (_dir, mut queue) = queue();
    let text = "x".repeat(MAX_RECORD_TEXT_BYTES);
    for _ in 0..1000 {
        queue.push(line(&text));
        assert!(queue.newest_text_bytes < MAX_TEXT_BYTES + MAX_RECORD_TEXT_BYTES);
    }
    assert_eq!(drain(&mut queue).len(), 1000);
}

#[test]
fn without_a_disk_nothing_is_lost_and_it_is_said_once() {
    let mut queue = Queue::new("/nonexistent".into());
    for i in 0..3 * MAX_RECORDS as u64 {
        queue.push(segment(0, Stream::Stdout, i * 2, 1));
    }
    assert!(queue.take_spill_error().is_some());
    assert!(queue.take_spill_error().is_none());
    assert_eq!(drain(&mut queue).len(), 3 * MAX_RECORDS);
}

#[test]
fn a_group_is_collected_in_bounded_memory() {
    let (_dir, mut queue) = queue();
    let nth = |i: u64| Segment {
        stream: if i.is_multiple_of(2) { Stream::Stdout } else { Stream::Stderr },
        offset: i,
        len: 1,
    };
    for i in 0..100_000 {
        queue.collect(7, "LLD-7", nth(i));
        queue.collect(8, "LLD-8", Segment { stream: Stream::Stdout, offset: i, len: 1 });
    }
    queue.release(9);
    queue.release(7);
    queue.finish();
    assert_eq!(drain(&mut queue), [Record::Group { id: 0 }, Record::Group { id: 1 }, Record::Finish]);
    let mut group = queue.take_group(0).unwrap();
    let (mut next, mut turns) = (0, 0);
    loop {
        let segments = queue.take_segments(&mut group.segments).unwrap();
        if segments.is_empty() {
            break;
        }
        turns += 1;
        for segment in segments {
            assert_eq!(segment, nth(next));
            next += 1;
        }
    }
    assert_eq!(next, 100_000);
    assert!(turns > 10, "it was on disk");
    let mut other = queue.take_group(1).unwrap();
    let merged = Segment { stream: Stream::Stdout, offset: 0, len: 100_000 };
    assert_eq!(queue.take_segments(&mut other.segments).unwrap(), [merged]);
}

#[test]
fn after_the_end_nothing_is_taken() {
    let (_dir, mut queue) = queue();
    let waiting = queue.push_unlogged(1, Stream::Stdout, b"bytes".to_vec());
    queue.discard();
    assert!(waiting.blocking_recv().is_err(), "who waits is let go");
    queue.push(line("late"));
    assert!(queue.push_unlogged(1, Stream::Stdout, b"late".to_vec()).blocking_recv().is_err());
    assert!(queue.is_idle());
}

fn any_record() -> impl Strategy<Value = Record> {
    let stream = || prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    prop_oneof![
        (any::<u32>(), "[A-Za-z0-9_-]{0,140}")
            .prop_map(|(item, label)| Record::Open { item, label: label.into() }),
        (any::<u32>(), stream(), any::<u64>(), any::<u32>())
            .prop_map(|(item, stream, offset, len)| segment(item, stream, offset, len)),
        (any::<u32>(), stream(), any::<u64>()).prop_map(|(item, stream, id)| Record::Unlogged {
            item,
            stream,
            id
        }),
        any::<u32>().prop_map(|item| Record::Close { item }),
        any::<u64>().prop_map(|id| Record::Group { id }),
        ("\\PC*", "\\PC*").prop_map(|(label, text)| Record::Line { label: label.into(), text: text.into() }),
        (any::<u32>(), "\\PC*", any::<u64>(), any::<u64>())
            .prop_map(|(item, label, from, to)| Record::Tail { item, label: label.into(), from, to }),
        "\\PC*".prop_map(|text| Record::Text(text.into())),
        Just(Record::Finish),
    ]
}

proptest! {
    #[test]
    fn records_survive_the_disk(records in proptest::collection::vec(any_record(), 0..20)) {
        let mut bytes = Vec::new();
        for record in &records {
            record.encode(&mut bytes);
        }
        let (mut rest, mut back) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            back.push(Record::decode(&mut rest).expect("what was encoded"));
        }
        prop_assert_eq!(back, records);
    }

    #[test]
    fn any_bytes_decode_to_something_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = bytes.as_slice();
        while Record::decode(&mut rest).is_some() {}
    }
}
