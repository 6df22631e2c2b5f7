//! The supervisor's end of one connection: bytes in, messages out, in an order and within bounds that hold for whatever
//! a peer sends.

use crate::limits::{MAX_FRAME_BYTES, MAX_HELLO_BYTES};
use crate::{Decoder, FieldError, FrameError, RefusalCode, ToSupervisor, ToWorker, VERSION};

/// Reads one connection. The first message is a [`Hello`](ToSupervisor::Hello) of this version or an error; what follows
/// it is held back until [`accept`](Intake::accept) says that its token was good; a second hello is an error.
#[derive(Debug)]
pub struct Intake {
    decoder: Decoder<ToSupervisor>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was said yet.
    Stranger,
    /// The hello was handed out, its token is being looked up.
    Claimed,
    /// The token was good.
    Accepted,
    /// Something was wrong.
    Refused(Refusal),
}

/// Why a connection is closed: to be sent as [`ToWorker::Refused`] and to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason as a code.
    pub code: RefusalCode,
    /// The reason as a sentence.
    pub detail: String,
}

impl Refusal {
    /// For a token that is unknown, in use or over: a stranger is not told which.
    pub fn token() -> Refusal {
        let detail = "the token is not one of a running attempt that has yet to connect".to_owned();
        Refusal { code: RefusalCode::Token, detail }
    }

    /// The message that tells the peer.
    pub fn message(&self) -> ToWorker {
        ToWorker::Refused { code: self.code, detail: self.detail.clone() }
    }

    fn malformed(detail: impl Into<String>) -> Refusal {
        Refusal { code: RefusalCode::Malformed, detail: detail.into() }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Refusal {
        let code = match error {
            FrameError::TooLarge { .. } => RefusalCode::TooLarge,
            FrameError::Malformed { .. } | FrameError::Trailing { .. } | FrameError::Truncated { .. } => {
                RefusalCode::Malformed
            }
        };
        Refusal { code, detail: error.to_string() }
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Refusal {
        Refusal::malformed(error.to_string())
    }
}

impl Default for Intake {
    fn default() -> Intake {
        Intake::new()
    }
}

impl Intake {
    /// For a connection just opened.
    pub fn new() -> Intake {
        Intake { decoder: Decoder::new(MAX_HELLO_BYTES), stage: Stage::Stranger }
    }

    /// Takes bytes as they came. Call [`next`](Intake::next) until it has nothing more before reading more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// The next message, `None` when more bytes are needed (or [`accept`](Intake::accept) is). An error is final.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: `None` means not yet, not the end")]
    pub fn next(&mut self) -> Result<Option<ToSupervisor>, Refusal> {
        let next = match &self.stage {
            Stage::Refused(refusal) => return Err(refusal.clone()),
            Stage::Claimed => return Ok(None),
            Stage::Stranger | Stage::Accepted => self.read(),
        };
        match &next {
            Err(refusal) => self.stage = Stage::Refused(refusal.clone()),
            Ok(Some(ToSupervisor::Hello { .. })) => self.stage = Stage::Claimed,
            Ok(_) => {}
        }
        next
    }

    /// The hello's token is this attempt's: the peer may say all that a worker may.
    pub fn accept(&mut self) {
        if matches!(self.stage, Stage::Claimed) {
            self.stage = Stage::Accepted;
            self.decoder.set_limit(MAX_FRAME_BYTES);
        }
    }

    /// The peer closed the connection: an error if it did so inside a frame, or after nothing but nonsense.
    pub fn finish(&self) -> Result<(), Refusal> {
        match &self.stage {
            Stage::Refused(refusal) => Err(refusal.clone()),
            Stage::Stranger | Stage::Claimed | Stage::Accepted => Ok(self.decoder.finish()?),
        }
    }

    fn read(&mut self) -> Result<Option<ToSupervisor>, Refusal> {
        let Some(message) = self.decoder.next()? else { return Ok(None) };
        let accepted = matches!(self.stage, Stage::Accepted);
        match &message {
            ToSupervisor::Hello { .. } if accepted => return Err(Refusal::malformed("a second hello")),
            ToSupervisor::Hello { version, .. } if *version != VERSION => {
                let detail =
                    format!("the worker speaks version {version} of the protocol, the supervisor {VERSION}");
                return Err(Refusal { code: RefusalCode::Version, detail });
            }
            ToSupervisor::Hello { .. } => {}
            _ if !accepted => return Err(Refusal::malformed("the first message is not a hello")),
            _ => {}
        }
        message.validate()?;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;

    const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

    fn hello() -> ToSupervisor {
        ToSupervisor::Hello { version: VERSION, token: TOKEN.into() }
    }

    fn checkpointed(node: &str) -> ToSupervisor {
        ToSupervisor::Checkpointed { node: node.to_owned() }
    }

    fn intake_of(messages: &[ToSupervisor]) -> Intake {
        let mut intake = Intake::new();
        for message in messages {
            intake.push(&encode(message).unwrap());
        }
        intake
    }

    #[test]
    fn nothing_passes_before_the_token_is_proven() {
        let mut intake = intake_of(&[hello(), checkpointed("N1_draft")]);
        assert_eq!(intake.next(), Ok(Some(hello())));
        assert_eq!(intake.next(), Ok(None), "held back");
        intake.accept();
        assert_eq!(intake.next(), Ok(Some(checkpointed("N1_draft"))));
        assert_eq!(intake.next(), Ok(None));
        assert_eq!(intake.finish(), Ok(()));
    }

    #[test]
    fn what_is_out_of_order_or_bounds_is_refused_for_good() {
        let other_version = ToSupervisor::Hello { version: 9, token: TOKEN.into() };
        let bad_token = ToSupervisor::Hello { version: VERSION, token: "x".into() };
        let cases = [
            (vec![checkpointed("a")], RefusalCode::Malformed, "the first message is not a hello"),
            (
                vec![other_version],
                RefusalCode::Version,
                "the worker speaks version 9 of the protocol, the supervisor 2",
            ),
            (vec![bad_token], RefusalCode::Malformed, "token is not 32 hexadecimal digits"),
            (vec![hello(), hello()], RefusalCode::Malformed, "a second hello"),
            (vec![hello(), checkpointed("")], RefusalCode::Malformed, "node is empty"),
        ];
        for (messages, code, words) in cases {
            let mut intake = intake_of(&messages);
            if messages.len() > 1 {
                assert_eq!(intake.next(), Ok(Some(hello())));
                intake.accept();
            }
            let refusal = Refusal { code, detail: words.to_owned() };
            assert_eq!(intake.next(), Err(refusal.clone()));
            intake.accept();
            intake.push(&encode(&hello()).unwrap());
            assert_eq!(intake.next(), Err(refusal.clone()), "final");
            assert_eq!(intake.finish(), Err(refusal));
        }
    }

    #[test]
    fn a_stranger_has_four_kilobytes_and_a_worker_a_megabyte() {
        let large = checkpointed(&"n".repeat(5000));
        let mut intake = intake_of(std::slice::from_ref(&large));
        assert_eq!(intake.next().map_err(|r| r.code), Err(RefusalCode::TooLarge));

        let mut intake = intake_of(&[hello(), large]);
        assert_eq!(intake.next(), Ok(Some(hello())));
        intake.accept();
        assert_eq!(
            intake.next().map_err(|r| r.detail),
            Err("node has 5000 bytes, 64 are allowed".to_owned())
        );
    }

    #[test]
    fn an_end_inside_a_frame_is_told() {
        let mut intake = Intake::new();
        intake.push(&encode(&hello()).unwrap()[..10]);
        assert_eq!(intake.next(), Ok(None));
        assert!(intake.finish().is_err());
    }
}
