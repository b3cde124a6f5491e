//! The writers. **What goes to the host was permitted; what goes to the client was released.**

use bytes::{Bytes, BytesMut};
use gate::{Permit, Release};
use proto_ssh::sftp::message::Reply;
use terminal::Size;
use wire::RawField;

use super::asked::{Sending, Starts};
use super::forward::{FarEar, FarMouth, Way};
use super::library::{Ear, Gone, Lane, Mouth, NoTunnel, Said, Sig};
use crate::entropy;
use crate::program::Stream;

/// Why nothing was sent to the host.
#[derive(Debug)]
pub(super) enum NotSent {
    /// The gateway would have sent what it had not permitted.
    NotPermitted,
    /// The host, or its connection, is gone, or opens nothing.
    Gone,
    /// Whether the host has opened what it was asked for is unknown.
    Unknown,
}

/// Towards the host.
pub(super) struct UpstreamWriter(pub(super) Mouth);

impl UpstreamWriter {
    /// Starts exactly the program or subsystem that the permit was minted for, with exactly its variables and its terminal. `false`: the host has
    /// no terminal for it, and nothing was started.
    pub(super) async fn start(
        &self,
        permit: Permit,
        sending: &Sending,
        ear: &mut Ear,
    ) -> Result<bool, NotSent> {
        if !permit.spend(&sending.bytes(), entropy::tick()) {
            return Err(NotSent::NotPermitted);
        }
        for (name, value) in &sending.env {
            self.0.env(name, value).await.map_err(|()| NotSent::Gone)?;
        }
        if let Some(terminal) = &sending.terminal {
            self.0.terminal(terminal).await.map_err(|()| NotSent::Gone)?;
            match ear.next().await {
                Some(Said::Answered(true)) => {}
                Some(Said::Answered(false)) => return Ok(false),
                _ => return Err(NotSent::Gone),
            }
        }
        let started = match &sending.starts {
            Starts::Shell => self.0.shell().await,
            Starts::Command(command) => self.0.exec(command).await,
            Starts::Subsystem(name) => self.0.subsystem(name).await,
            Starts::Message(_) => return Err(NotSent::NotPermitted),
        };
        started.map(|()| true).map_err(|()| NotSent::Gone)
    }

    /// A packet of SFTP that changes nothing on the host, within what a permit that was spent opened: `sftp::request`.
    pub(super) async fn within(&self, packet: Bytes) -> Result<(), NotSent> {
        self.0.stdin(packet).await.map_err(|()| NotSent::Gone)
    }

    /// Spends the permit for what the host has said and is about to do, described by those words of its own.
    pub(super) fn lets(&self, permit: Permit, described: &[u8]) -> Result<(), NotSent> {
        if permit.spend(described, entropy::tick()) { Ok(()) } else { Err(NotSent::NotPermitted) }
    }

    /// Sends exactly the input that the permit was minted for.
    pub(super) async fn stdin(&self, permit: Permit, bytes: Bytes) -> Result<(), NotSent> {
        if !permit.spend(&bytes, entropy::tick()) {
            return Err(NotSent::NotPermitted);
        }
        self.0.stdin(bytes).await.map_err(|()| NotSent::Gone)
    }

    /// There is no more input. It says nothing.
    pub(super) async fn end(&self) -> Result<(), NotSent> {
        self.0.end().await.map_err(|()| NotSent::Gone)
    }

    /// The window of the terminal has another size; that was recorded.
    pub(super) async fn window(&self, size: Size) -> Result<(), NotSent> {
        self.0.window(size).await.map_err(|()| NotSent::Gone)
    }

    /// A signal of those that RFC 4254 (6.9) names; it was recorded.
    pub(super) async fn signal(&self, signal: Sig) -> Result<(), NotSent> {
        self.0.signal(signal).await.map_err(|()| NotSent::Gone)
    }
}

/// Towards the place that a forward leads to: on the host, or a resource of this gateway's.
pub(super) struct ForwardWriter(pub(super) FarMouth);

impl ForwardWriter {
    /// Sends exactly the bytes that the permit was minted for.
    pub(super) async fn send(&mut self, permit: Permit, bytes: Bytes) -> Result<(), NotSent> {
        if !permit.spend(&bytes, entropy::tick()) {
            return Err(NotSent::NotPermitted);
        }
        self.0.send(bytes).await.map_err(|()| NotSent::Gone)
    }

    /// There is no more. It says nothing.
    pub(super) async fn end(&mut self) -> Result<(), NotSent> {
        self.0.end().await.map_err(|()| NotSent::Gone)
    }
}

/// Opens exactly the channel that the permit was minted for.
pub(super) async fn open_forward(
    permit: Permit,
    sending: &Sending,
    way: &Way,
) -> Result<(FarEar, ForwardWriter), NotSent> {
    if !permit.spend(&sending.bytes(), entropy::tick()) {
        return Err(NotSent::NotPermitted);
    }
    let (ear, mouth) = way.open().await.map_err(|why| match why {
        NoTunnel::Refused => NotSent::Gone,
        NoTunnel::Lost => NotSent::Unknown,
    })?;
    Ok((ear, ForwardWriter(mouth)))
}

/// Towards the client.
pub(super) struct ClientWriter<'a>(pub(super) &'a Lane);

impl ClientWriter<'_> {
    /// `cuts`: which stream each part of it belongs to, one behind another. Waits for the client's window.
    pub(super) async fn send(&self, release: Release, cuts: &[(Stream, usize)]) -> Result<(), Gone> {
        let mut rest = Bytes::from(release.into_bytes().into_vec());
        for (stream, length) in cuts {
            let part = rest.split_to((*length).min(rest.len()));
            match stream {
                Stream::Out => self.0.out(part).await?,
                Stream::Err => self.0.err(part).await?,
            }
        }
        Ok(())
    }

    /// A packet of SFTP.
    pub(super) async fn packet(&self, release: Release) -> Result<(), Gone> {
        self.0.out(Bytes::from(release.into_bytes().into_vec())).await
    }

    /// A piece of a file, in the packet that answers the READ of this id.
    pub(super) async fn data(&self, id: u32, release: Release) -> Result<(), Gone> {
        let mut packet = BytesMut::new();
        let data = Reply::Data(RawField::new(release.into_bytes().into_vec().into()));
        // What came in a packet fits one.
        data.encode(id, &mut packet).map_err(|_too_long| Gone)?;
        self.0.out(packet.freeze()).await
    }

    /// A packet of SFTP of the gateway's own: nothing of the host's is in it.
    pub(super) async fn packet_of_ours(&self, packet: Bytes) -> Result<(), Gone> {
        self.0.out(packet).await
    }

    /// Words of the gateway's own: nothing of the host's is in them.
    pub(super) async fn say(&self, words: &str) -> Result<(), Gone> {
        self.0.err(Bytes::from(format!("tacho: {words}\r\n"))).await
    }

    /// There is no more of a forward's other end.
    pub(super) async fn forward_end(&self) -> Result<(), Gone> {
        self.0.out_end().await
    }

    /// A forward is over.
    pub(super) async fn close(&self) -> Result<(), Gone> {
        self.0.close().await
    }

    /// How the program ended, behind all that it said.
    pub(super) async fn end(&self, ended: Ended) -> Result<(), Gone> {
        match ended {
            Ended::Exit(status) => self.0.exit_status(status).await?,
            Ended::Signal { signal, core } => self.0.exit_signal(signal, core, String::new()).await?,
        }
        self.0.end().await
    }
}

/// How a program ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Exit(u32),
    /// What the host says of it besides is not passed on.
    Signal {
        signal: Sig,
        core: bool,
    },
}
