//! The subsystem `sftp`: each request of a client's is an action on paths, decided and recorded before it reaches the host; file contents
//! are pieces of the action that opened the file. `scp` of OpenSSH 9 is this, too; its own protocol, [`scp`], shares the files.
//!
//! | request | intent | what its record says |
//! |---|---|---|
//! | the subsystem itself, `limits` and questions for names of users | one, of the channel | `execute` on `NAME/USER/subsystem/sftp` |
//! | OPEN, OPENDIR | one; its outcome is the CLOSE | what the file may be used for from now on |
//! | READ, READDIR, FSTAT by its handle | pieces of that one | bytes, findings, the masked copy |
//! | WRITE, fsync by its handle | pieces of that one, each before it is sent | the same |
//! | every other | one each, with an outcome | the paths, as commands have them ([`name`]) |
//!
//! **Invariant:** what changes anything on the host was permitted, by an intent or a piece that is durable; what a READ, READDIR, FSTAT or
//! CLOSE sends is within what the intent of its handle permitted, and changes nothing.
//! **Invariant:** what a file or a listing holds leaves after its record, masked. Statuses of what is done by a handle are told in the
//! gateway's words.
//! **Invariant:** one outcome for each intent, whoever goes away.
//!
//! A mask of a file's content keeps its length; each piece is looked at with what stands around it, read by the same handle where the
//! client has not just read it ([`content`]). What cannot be had is refused, and so is the piece.
//!
//! What one channel holds is bounded by what is let through to the host at once ([`crate::limits::SFTP_IN_FLIGHT_BYTES`]): a client that
//! asks for more waits, and so does one that does not take what came.
//!
//! **Not here, and refused**: `copy-data`, which would copy what nobody looked at, and what `proto_ssh::sftp` refuses. What the host says on
//! standard error is not passed on.
//!
//! Reading order: this page -> `name` -> `carry` (the channel) -> `request` (the client's side) -> `answer` (the host's) -> `content`, `file`,
//! `hits`.

mod answer;
mod carry;
mod content;
mod file;
mod hits;
mod name;
mod request;
mod scp;

use proto_ssh::sftp::action::LinkOrder;
use vocab::{Access, Action, Verb};

use super::asked::{Asked, Sending};
use super::channel::{begun, indeterminate, reach};
use super::decide::{Cut, Over, Ruling};
use super::library::Lane;
use super::link::Link;
use crate::alike::room;
use carry::Carry;
pub(super) use scp::{Copy, follows};

/// The subsystem's name (draft-ietf-secsh-filexfer-02, 2).
pub(super) const NAME: &str = "sftp";

/// Whether the host's connection may be used again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    ByItself,
    Cut,
}

/// Serves a channel on which SFTP was asked for. Errors: those of the channel.
pub(super) async fn sftp(link: &Link, lane: &Lane, sending: Sending, ended: &mut Over) -> Result<(), Cut> {
    let on = link.resource.root.join(&link.resource.config.user).join("subsystem").join(NAME);
    let action = Action {
        accesses: vec![Access { verb: Verb::Execute, on, columns: Vec::new() }],
        functions: Vec::new(),
        kind: "SFTP",
        opaque: None,
    };
    let asked = Asked::subsystem(&link.resource, &link.who, action, sending, NAME);
    room(&link.resource.gate).await;
    let ruling = link.decide(lane, &asked, ended).await.map_err(|cut| link.unsent(cut))?;
    let Ruling::Go(decided, approval) = ruling else { return Ok(()) };
    let Some((upstream, mut ear, writer)) = reach(link, lane, &asked, &decided, ended).await? else {
        return Ok(());
    };
    let intended = link.intend(&asked, &decided, approval).await.map_err(|cut| link.unsent(cut));
    let carried = match intended {
        Err(cut) => Err(cut),
        Ok((of, permit)) => {
            link.begun(of);
            match begun(writer.start(permit, &asked.sending, &mut ear), lane, ended).await {
                // Of a terminal nothing was asked, which is all that a host says no to before it answers.
                Ok(_) => {
                    let order = link_order(upstream.is_open_ssh());
                    Carry::new(link, lane, &writer, of, order, ended.clone()).run(ear).await
                }
                Err(cut) => {
                    indeterminate(link, of, &cut).await;
                    Err(cut)
                }
            }
        }
    };
    match carried {
        Ok(Ending::ByItself) => link.pool.give(upstream).await,
        Ok(Ending::Cut) | Err(_) => link.pool.end(upstream).await,
    }
    carried.map(|_ending| ()).map_err(|cut| link.uncertain(cut))
}

/// Which way a host takes the arguments of a SYMLINK. Those that are not OpenSSH's take them as the draft says, or by what the client's
/// first line says of itself, or as OpenSSH does.
fn link_order(is_open_ssh: bool) -> LinkOrder {
    if is_open_ssh { LinkOrder::OpenSsh } else { LinkOrder::Unknown }
}
