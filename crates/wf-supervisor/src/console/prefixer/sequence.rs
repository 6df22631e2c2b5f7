//! Recognises control sequences byte by byte (ECMA-48, and the strings xterm knows), without holding them unbounded.

/// Begins every sequence of 7-bit controls.
pub const ESCAPE: u8 = 0x1b;

/// The first byte of U+0080 to U+009F in UTF-8, which terminals obey as 8-bit controls.
pub const C1_LEAD: u8 = 0xc2;

/// The longest colour code that is understood; anything longer is some other control.
const MAX_HELD_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte, as in `ESC ( 0`.
    Intermediate,
    /// After `ESC [`.
    Parameters,
    /// After `ESC [` and more than is held.
    LongParameters,
    /// Inside a title, a link or another control string.
    Text,
    /// After an ESC inside a control string.
    TextEscape,
    /// After [`C1_LEAD`].
    C1,
}

/// What a byte did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was held; more is needed.
    Pending,
    /// The held bytes are a code that switches a colour on, or all off.
    Colour {
        /// Whether something is on after it.
        on: bool,
    },
    /// The held bytes are (a part of) another control.
    Control,
    /// The held bytes are no valid sequence, and the byte is not part of them.
    Broken,
    /// The held bytes are ordinary text, and the byte is not part of them.
    Text,
}

/// The sequence a stream is in.
#[derive(Debug, Default)]
pub struct Sequence {
    state: State,
    held: Vec<u8>,
}

impl Sequence {
    /// Whether the stream is outside any sequence.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether what is held may be ordinary text after all.
    pub fn is_text(&self) -> bool {
        self.state == State::C1
    }

    /// The bytes held, to be taken or dropped, then [`Self::clear`]ed, after each step but `Pending`.
    pub fn bytes(&self) -> &[u8] {
        &self.held
    }

    /// Forgets the held bytes and stays where it is.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// Outside any sequence, nothing held.
    pub fn reset(&mut self) {
        *self = Sequence::default();
    }

    /// Begins with [`ESCAPE`] or [`C1_LEAD`].
    pub fn begin(&mut self, byte: u8) {
        self.state = if byte == C1_LEAD { State::C1 } else { State::Escape };
        self.held.push(byte);
    }

    /// Takes the next byte of a sequence that was begun.
    pub fn feed(&mut self, byte: u8) -> Step {
        if byte == ESCAPE && !matches!(self.state, State::Text | State::TextEscape | State::C1) {
            return self.end(Step::Broken);
        }
        match (self.state, byte) {
            (State::Escape, b'[') => self.enter(State::Parameters, byte, Step::Pending),
            // OSC, DCS, SOS, PM and APC: strings without a bound of their own, so they are not held.
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => self.enter(State::Text, byte, Step::Control),
            (State::Escape | State::Intermediate, b' '..=b'/') if self.held.len() < MAX_HELD_BYTES => {
                self.enter(State::Intermediate, byte, Step::Pending)
            }
            (State::Parameters, b' '..=b'?') if self.held.len() < MAX_HELD_BYTES => {
                self.enter(State::Parameters, byte, Step::Pending)
            }
            (State::Parameters | State::LongParameters, b' '..=b'?') => {
                self.enter(State::LongParameters, byte, Step::Control)
            }
            (State::Parameters, b'm') => {
                let parameters = &self.held[2..];
                let step = if parameters.iter().all(|b| matches!(b, b'0' | b';')) {
                    Step::Colour { on: false }
                } else if parameters.iter().all(|b| matches!(b, b'0'..=b';')) {
                    Step::Colour { on: true }
                } else {
                    Step::Control
                };
                self.enter(State::Idle, byte, step)
            }
            // Final bytes. BEL, CAN and SUB end a string; so does ESC with a backslash.
            (State::Escape | State::Intermediate, b'0'..=b'~')
            | (State::Parameters | State::LongParameters, b'@'..=b'~')
            | (State::Text, 0x07 | 0x18 | 0x1a)
            | (State::TextEscape, b'\\')
            | (State::C1, 0x80..=0x9f) => self.enter(State::Idle, byte, Step::Control),
            (State::Text, ESCAPE) => self.enter(State::TextEscape, byte, Step::Pending),
            (State::Text, _) => self.enter(State::Text, byte, Step::Control),
            (State::TextEscape, _) => {
                // The ESC ended the string and begins what this byte continues.
                self.state = State::Escape;
                self.feed(byte)
            }
            (State::C1, _) => self.end(Step::Text),
            (
                State::Idle | State::Escape | State::Intermediate | State::Parameters | State::LongParameters,
                _,
            ) => self.end(Step::Broken),
        }
    }

    fn enter(&mut self, state: State, byte: u8, step: Step) -> Step {
        self.held.push(byte);
        self.state = state;
        step
    }

    fn end(&mut self, step: Step) -> Step {
        self.state = State::Idle;
        step
    }
}
