//! `journal.jsonl`: appended to as things happen, read back tolerant of a torn tail.
