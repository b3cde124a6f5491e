//! The rules of the house over the source alone.

use crate::home::Home;
use crate::step::{Ending, Stop};

pub fn run() -> Result<(), Stop> {
    match check(&Home::find()?) {
        Ending::Failed(..) => Err(Stop::Failed),
        _ => Ok(()),
    }
}

pub fn check(_home: &Home) -> Ending {
    Ending::Passed(1)
}
