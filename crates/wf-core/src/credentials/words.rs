//! Why a call will not be made, in words for a person.

use std::fmt;
use std::time::Duration;

use super::types::DenyCause;
use crate::attempt::words;

impl fmt::Display for DenyCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DenyCause::MaxWait => f.write_str("waited for quota longer than --max-wait"),
            DenyCause::Beyond { wait, max_wait } => {
                let wait = words(Duration::from_secs(wait.as_secs() + 1));
                write!(f, "the next call is possible in {wait}, and --max-wait is {}", words(*max_wait))
            }
            DenyCause::Budget => f.write_str("the call would cross --budget-tokens"),
            DenyCause::PoolDead(why) => write!(f, "no usable key left: {why}"),
            DenyCause::NoSuchProvider(name) => write!(f, "no key of the provider {name} is configured"),
            DenyCause::RateLimited { attempts } => write!(f, "refused by rate limits {attempts} times"),
            DenyCause::Unreachable { attempts, detail } => {
                write!(f, "the provider could not be reached in {attempts} attempts: {detail}")
            }
            DenyCause::Refused(detail) => write!(f, "the provider refused the request: {detail}"),
            DenyCause::KeyRefused(detail) => write!(f, "the provider refused the key: {detail}"),
        }
    }
}
