//! A reply in pieces is what it is in one piece, streamed or not, cut or not.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wf_providers::{Dialect, End, Incoming, Wanted};

fuzz_target!(|input: (u8, u8, bool, &[u8])| {
    let (dialect, size, is_cut, body) = input;
    let dialect = Dialect::ALL[usize::from(dialect) % Dialect::ALL.len()];
    let read = |size: usize| {
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        let mut incoming = Incoming::new(dialect, 200, headers);
        let is_over = body.chunks(size.max(1)).any(|piece| incoming.push(piece) == Wanted::Nothing);
        let end = if is_cut && !is_over { End::Cut("cut".to_owned()) } else { End::AsAnnounced };
        incoming.finish(end, Duration::from_secs(1_795_262_400))
    };
    assert_eq!(read(usize::from(size)), read(body.len()));
});
