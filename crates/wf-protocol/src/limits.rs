//! Every bound of the protocol in one place; `docs/protocol.md` repeats them, and a test compares.

use std::time::Duration;

/// The longest body of a frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// The longest body of the first frame, in bytes: a stranger may make the supervisor hold this much and no more.
pub const MAX_HELLO_BYTES: usize = 4 << 10;

/// How long a connection may be open without a hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a worker waits for the answer to its hello, and for the supervisor to take what it sends.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest path of the socket, in bytes. `sun_path` has 108 on Linux and 104 on macOS, one of them the final NUL.
pub const MAX_SOCKET_PATH_BYTES: usize = 100;

/// Hexadecimal digits of a token: 128 random bits.
pub const TOKEN_DIGITS: usize = 32;

/// The longest name of a node or a provider, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The longest name of a model, in bytes.
pub const MAX_MODEL_BYTES: usize = 128;

/// The longest text for people, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 << 10;

/// The longest path of an output, in bytes: Linux' `PATH_MAX`.
pub const MAX_PATH_BYTES: usize = 4 << 10;

/// Hexadecimal digits of a SHA-256.
pub const HASH_DIGITS: usize = 64;

/// Quota hints in one outcome. The richest provider known has four.
pub const MAX_HINTS: usize = 16;

/// The share of a finished workflow: shares are in thousandths.
pub const FULL_SHARE: u16 = 1000;
