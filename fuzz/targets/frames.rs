//! Any bytes as frames, from either side: no panic, the same messages in any pieces, and what was read can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wf_protocol::{Decoder, FrameError, Message, ToSupervisor, ToWorker, encode, limits::MAX_FRAME_BYTES};

fn read<M: Message + std::fmt::Debug>(bytes: &[u8], size: usize) -> (Vec<String>, Option<FrameError>) {
    let mut decoder = Decoder::<M>::new(MAX_FRAME_BYTES);
    let mut messages = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => {
                    encode(&message).expect("what was read fits a frame");
                    messages.push(format!("{message:?}"));
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    assert_eq!(read::<ToSupervisor>(bytes, usize::from(size)), read::<ToSupervisor>(bytes, bytes.len()));
    assert_eq!(read::<ToWorker>(bytes, usize::from(size)), read::<ToWorker>(bytes, bytes.len()));
});
