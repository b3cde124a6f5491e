//! The two writers. **What goes upstream was permitted; what goes to the client was released.**

use bytes::BytesMut;
use gate::{Permit, Release};
use proto_postgres::message::FromClient;
use wire::{Fault, Side, kind};

use crate::entropy;

/// Towards the upstream.
#[derive(Default)]
pub struct UpstreamWriter {
    pub(super) out: BytesMut,
}

impl UpstreamWriter {
    /// Queues exactly the bytes that the permit was minted for. Errors (side: gateway): other bytes, or too late.
    pub fn send(&mut self, permit: Permit, bytes: &[u8]) -> Result<(), Fault> {
        match permit.spend(bytes, entropy::tick()) {
            true => {
                self.out.extend_from_slice(bytes);
                Ok(())
            }
            false => Err(NOT_PERMITTED),
        }
    }

    /// Queues a constant read of the gateway's own: catalog and names. Nothing of the client's is in it.
    pub(super) fn own(&mut self, message: &FromClient) -> Result<(), Fault> {
        message.encode(&mut self.out)
    }

    /// Queues what carries no request of its own.
    pub fn control(&mut self, control: Control) -> Result<(), Fault> {
        control.message().encode(&mut self.out)
    }
}

/// Messages of the gateway's that ask for nothing: they end, flush or fail what was permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Sync,
    Flush,
    Terminate,
    /// A constant statement that fails: upstream fails where the gateway refused.
    Poison,
    CopyDone,
    CopyFail,
}

/// The statement that fails. It is in no grammar, so that nothing runs.
pub const POISON: &str = "tachograph_refused_this_statement";

impl Control {
    fn message(self) -> FromClient {
        use proto_postgres::message::Parse;
        use wire::RawField;
        match self {
            Control::Sync => FromClient::Sync,
            Control::Flush => FromClient::Flush,
            Control::Terminate => FromClient::Terminate,
            Control::CopyDone => FromClient::CopyDone,
            Control::CopyFail => {
                FromClient::CopyFail { reason: RawField::from_static(b"the client stopped the copy") }
            }
            Control::Poison => FromClient::Parse(Parse {
                statement: RawField::from_static(b""),
                sql: RawField::from_static(POISON.as_bytes()),
                types: Vec::new(),
            }),
        }
    }
}

/// Towards the client.
#[derive(Default)]
pub struct ClientWriter {
    pub(super) out: BytesMut,
}

impl ClientWriter {
    pub fn send(&mut self, release: Release) {
        self.out.extend_from_slice(release.into_bytes().as_bytes());
    }
}

const NOT_PERMITTED: Fault = Fault::new(
    Side::Gateway,
    kind::OUT_OF_ORDER,
    "the gateway would have sent what it had not permitted",
    "writer: permit and bytes do not match, or the permit has expired",
);
