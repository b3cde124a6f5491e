//! The channels of a port-forward over WebSocket (`v4.channel.k8s.io`): of the port that the query names at place `n`, channel `2n` has
//! the data, both ways, and `2n + 1` what fails of it, from the server alone. Each says the port first, as two bytes, the low one
//! before the high one; a message is its channel and what it says.
//!
//! Spec: k8s.io/kubernetes/pkg/kubelet/cri/streaming/portforward (websocket.go). Nothing says that one port is over: all are with the
//! connection.

use crate::fault::{self as why, Reason};

/// The ports of a connection, and what the server has said of them.
#[derive(Debug)]
pub struct PortChannels(Vec<Port>);

#[derive(Debug)]
struct Port {
    number: u16,
    /// Whether its channels, of data and of what fails, have said it.
    named: [bool; 2],
    /// What failed is said, once.
    failed: bool,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The port's number; it stands at this place in the query.
    Number(u16),
    Data,
    /// What failed of it.
    Failed,
}

impl PortChannels {
    pub fn new(ports: &[u16]) -> PortChannels {
        PortChannels(ports.iter().map(|&number| Port { number, named: [false; 2], failed: false }).collect())
    }

    /// A message of the client's: the place of its port, and the data. Errors (side: client): of no port, or on the channel of what
    /// fails.
    pub fn on_client<'m>(&self, message: &'m [u8]) -> Result<(usize, &'m [u8]), Reason> {
        let (&channel, data) = message.split_first().ok_or(why::NO_CHANNEL)?;
        let place = usize::from(channel / 2);
        match (self.0.get(place), channel % 2) {
            (Some(_), 0) => Ok((place, data)),
            _ => Err(why::UNKNOWN_CHANNEL),
        }
    }

    /// A message of the server's: the place of its port, what it is for, and what it says. Errors (side: upstream): of no port; its first
    /// message is not its number; more than one that something failed, over which a value could be cut.
    pub fn on_upstream<'m>(&mut self, message: &'m [u8]) -> Result<(usize, Part, &'m [u8]), Reason> {
        let (&channel, says) = message.split_first().ok_or(why::NO_CHANNEL)?;
        let (place, of) = (usize::from(channel / 2), usize::from(channel % 2));
        let port = self.0.get_mut(place).ok_or(why::UNKNOWN_CHANNEL)?;
        let named = port.named.get_mut(of).ok_or(why::UNKNOWN_CHANNEL)?;
        if !*named {
            *named = true;
            return match says == port.number.to_le_bytes() {
                true => Ok((place, Part::Number(port.number), says)),
                false => Err(why::OTHER_PORT),
            };
        }
        if of == 0 {
            return Ok((place, Part::Data, says));
        }
        match std::mem::replace(&mut port.failed, true) {
            false => Ok((place, Part::Failed, says)),
            true => Err(why::FAILED_TWICE),
        }
    }
}

/// The channel of a port's data, or of what fails of it. `None`: there is none, the place is too far behind.
pub fn channel(place: usize, failed: bool) -> Option<u8> {
    u8::try_from(2 * place + usize::from(failed)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_says_its_port_first_and_the_client_sends_data_alone() {
        let mut ports = PortChannels::new(&[80, 0x1f90]);
        assert_eq!(ports.on_upstream(&[0, 80, 0]), Ok((0, Part::Number(80), &[80, 0][..])));
        assert_eq!(ports.on_upstream(&[3, 0x90, 0x1f]), Ok((1, Part::Number(0x1f90), &[0x90, 0x1f][..])));
        assert_eq!(ports.on_upstream(b"\0hello"), Ok((0, Part::Data, &b"hello"[..])));
        assert_eq!(ports.on_upstream(b"\x03refused"), Ok((1, Part::Failed, &b"refused"[..])));
        assert_eq!(ports.on_upstream(b"\x03again"), Err(why::FAILED_TWICE));
        for bad in [&[][..], &[4, 80, 0], &[255]] {
            assert!(ports.on_upstream(bad).is_err(), "{bad:?}");
        }
        for other in [&[2][..], &[2, 0x90], &[2, 80, 0], &[2, 0x90, 0x1f, 0], &[2, 0x1f, 0x90]] {
            let mut ports = PortChannels::new(&[80, 0x1f90]);
            assert_eq!(ports.on_upstream(other), Err(why::OTHER_PORT), "{other:?}");
        }
        assert_eq!(ports.on_client(b"\x02to it"), Ok((1, &b"to it"[..])));
        for bad in [&[][..], b"\x01words", b"\x04other", b"\xff"] {
            assert!(ports.on_client(bad).is_err(), "{bad:?}");
        }
        assert_eq!((channel(1, false), channel(127, true), channel(128, false)), (Some(2), Some(255), None));
    }
}
