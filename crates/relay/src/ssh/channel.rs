//! One channel: what is asked of it, and the one program that runs on it.
//!
//! **Invariant:** what is decided, started, sent and released of a program happens in the order of `program`.

use std::sync::Arc;

use gate::{Decided, Outcome};
use mask::MaskedText;
use terminal::Size;
use vocab::Seq;

use super::asked::{Asked, Sending, Starts};
use super::decide::{Cut, Denied, Over, Ruling, over};
use super::library::{Beside, Ear, Lane, Request, Sig, Upstream};
use super::link::{CUT_SHORT, Link, why};
use super::output::{Carried, Output};
use super::pool::UNREACHABLE;
use super::sftp;
use super::writer::{ClientWriter, NotSent, UpstreamWriter};
use super::{FAILED_STATUS, REFUSED_STATUS};
use crate::alike::{room, unsaid};
use crate::limits::{DIAL, RECORD, REFUSAL_RECORD, SSH_REQUESTS_MAX};
use crate::seat::Seat;

/// Serves a channel to its end. Errors: the connection ends with it.
pub(super) async fn channel(link: Arc<Link>, lane: Lane, mut ended: Over) -> Result<(), Cut> {
    let begun = tokio::select! {
        biased;
        cut = over(&mut ended) => Err(cut),
        begun = begin(&link, &lane) => begun,
    };
    let served = match begun {
        Ok(Some(sending)) => match sending.starts {
            Starts::Subsystem(_) => sftp::sftp(&link, &lane, sending, &mut ended).await,
            Starts::Shell | Starts::Command(_) | Starts::Message(_) => {
                program(&link, &lane, sending, &mut ended).await
            }
        },
        Ok(None) => Ok(()),
        Err(cut) => Err(cut),
    };
    match served {
        Ok(()) => Ok(()),
        // The client closed this channel, and may go on with others.
        Err(cut) if cut.why == "client-closed" => Ok(()),
        Err(cut) => {
            link.fail(&lane, &cut).await;
            // Of the host or of this program alone, others know nothing.
            if matches!(cut.why, "upstream-closed" | "decision-used") { Ok(()) } else { Err(cut) }
        }
    }
}

/// Until a program is asked for. `None`: none was, and the client knows.
async fn begin(link: &Link, lane: &Lane) -> Result<Option<Sending>, Cut> {
    let mut sending = Sending::default();
    loop {
        match lane.request().await {
            None => return Err(Cut::closed()),
            Some(Request::Env(name, value)) => {
                if sending.env.len() < SSH_REQUESTS_MAX {
                    sending.env.push((name, value));
                }
            }
            // The last one counts, as for OpenSSH's server the first: a client asks once.
            Some(Request::Terminal(terminal)) => sending.terminal = Some(terminal),
            Some(Request::Window(size)) => sending.terminal.iter_mut().for_each(|own| own.size = size),
            Some(Request::Exec(command)) => {
                return Ok(Some(Sending { starts: Starts::Command(command), ..sending }));
            }
            Some(Request::Shell) => return Ok(Some(sending)),
            // It has no terminal, whoever asked for one.
            Some(Request::Subsystem(name)) if name == sftp::NAME => {
                return Ok(Some(Sending {
                    terminal: None,
                    starts: Starts::Subsystem(sftp::NAME),
                    ..sending
                }));
            }
            Some(Request::Subsystem(name)) => {
                let words = refused(link, &Beside { what: "subsystem", name }).await?;
                let _gone = lane.answer(false).await;
                link.part(lane, &words, REFUSED_STATUS).await;
                return Ok(None);
            }
            Some(Request::Beside(what)) => link.beside(&what).await?,
            // There is nothing that it could be for.
            Some(Request::Signal(_)) => {}
        }
    }
}

/// What the client is told of what is not carried, once that is recorded.
async fn refused(link: &Link, what: &Beside) -> Result<String, Cut> {
    link.beside(what).await?;
    Ok(format!("refused: {}", why(what.what)))
}

/// One program, from its command or the login shell to its exit status.
async fn program(link: &Link, lane: &Lane, sending: Sending, ended: &mut Over) -> Result<(), Cut> {
    let asked = Asked::program(&link.resource, &link.who, &mut link.known(), sending);
    room(&link.resource.gate).await;
    let ruling = link.decide(lane, &asked, ended).await.map_err(|cut| link.unsent(cut))?;
    let (decided, approval) = match ruling {
        Ruling::Go(decided, approval) => (decided, approval),
        Ruling::No => return Ok(()),
    };
    let Some((upstream, ear, writer)) = reach(link, lane, &asked, &decided, ended).await? else {
        return Ok(());
    };
    let carried = start(link, lane, &asked, &decided, approval, ear, &writer, ended).await;
    match &carried {
        // The host closed the channel by itself: the connection is good for the next program.
        Ok(Carried::Ended) => link.pool.give(upstream).await,
        Ok(Carried::Withheld | Carried::NotStarted) | Err(_) => link.pool.end(upstream).await,
    }
    carried.map(|_ended| ())
}

/// A channel of the host's. `None`: there is none, and the client was told.
pub(super) async fn reach(
    link: &Link,
    lane: &Lane,
    asked: &Asked,
    decided: &Decided,
    ended: &mut Over,
) -> Result<Option<(Upstream, Ear, UpstreamWriter)>, Cut> {
    let opening = async {
        // One that was kept may have gone meanwhile.
        for _attempt in 0..2 {
            let Ok(upstream) = link.pool.take().await else { return None };
            match upstream.open().await {
                Ok(program) => return Some((upstream, program)),
                Err(()) => link.pool.end(upstream).await,
            }
        }
        None
    };
    let opened = tokio::select! {
        biased;
        cut = over(ended) => return Err(cut),
        () = lane.closed() => return Err(Cut::closed()),
        opened = opening => opened,
    };
    let Some((upstream, program)) = opened else {
        let decided = Box::new(unsaid(decided.clone()));
        let denied = Denied { decided, why: UNREACHABLE, of: None };
        let words = link.record_refusal(asked, &denied, FAILED_STATUS, false).await?;
        link.part(lane, &words, FAILED_STATUS).await;
        return Ok(None);
    };
    let (ear, mouth) = program.split();
    Ok(Some((upstream, ear, UpstreamWriter(mouth))))
}

/// Records the intent, starts the program, and carries it to its end.
#[expect(clippy::too_many_arguments, reason = "it is the one place where all of it comes together")]
async fn start(
    link: &Link,
    lane: &Lane,
    asked: &Asked,
    decided: &Decided,
    approval: Option<Seq>,
    mut ear: Ear,
    writer: &UpstreamWriter,
    ended: &mut Over,
) -> Result<Carried, Cut> {
    let (of, permit) = link.intend(asked, decided, approval).await.map_err(|cut| link.unsent(cut))?;
    link.begun(of);
    let started = Started::new(link, asked, of);
    let carried = match begun(writer.start(permit, &asked.sending, &mut ear), lane, ended).await {
        Ok(true) => match sftp::Copy::new(link, lane, asked, of, writer, ended.clone()) {
            Some(copy) => copy.run(ear).await,
            // It was decided as a copy.
            None if asked.copies.is_some() => Err(Cut { why: "out-of-order", told: NO_COPY }),
            None => carry(link, lane, asked, &started, ear, writer, ended).await,
        },
        Ok(false) => Output::new(link, asked, &started).not_started(lane).await,
        Err(cut) => Err(cut),
    };
    if let Err(cut) = &carried
        && link.is_open(of)
    {
        indeterminate(link, of, cut).await;
    }
    if matches!(carried, Ok(Carried::Withheld) | Err(_)) {
        // Without a terminal a program is not told that nobody is there any more.
        let _told_or_over = pass_signal(link, of, writer, Sig::HUP).await;
    }
    carried.map_err(|cut| link.uncertain(cut))
}

/// Starts a program, as long as its run lasts and its client is there, and within [`DIAL`]: no permit lasts longer. A host that does not
/// answer holds nobody's place.
pub(super) async fn begun(
    starting: impl Future<Output = Result<bool, NotSent>>,
    lane: &Lane,
    ended: &mut Over,
) -> Result<bool, Cut> {
    tokio::select! {
        biased;
        cut = over(ended) => Err(cut),
        () = lane.closed() => Err(Cut::closed()),
        begun = tokio::time::timeout(DIAL, starting) => match begun {
            Ok(begun) => begun.map_err(not_sent),
            Err(_late) => Err(Cut::upstream(LOST)),
        },
    }
}

/// A program that was started, or is just being.
pub(super) struct Started {
    /// Its intent.
    pub(super) of: Seq,
    /// Its terminal, if it has one.
    pub(super) seat: Option<Seat>,
}

impl Started {
    fn new(link: &Link, asked: &Asked, of: Seq) -> Started {
        let seat = asked.sending.terminal.as_ref().map(|terminal| {
            let term = mask::name(link.resource.gate.detectors(), &terminal.term);
            Seat::new(terminal.size, term)
        });
        Started { of, seat }
    }
}

pub(super) fn not_sent(not: NotSent) -> Cut {
    match not {
        NotSent::NotPermitted => {
            Cut { why: "out-of-order", told: "the gateway would have sent what it had not permitted" }
        }
        NotSent::Gone | NotSent::Unknown => Cut::upstream(LOST),
    }
}

pub(super) const LOST: &str =
    "the host's connection ended before the command did; whether it took effect is unknown";

/// Says that nobody knows what became of a program.
pub(super) async fn indeterminate(link: &Link, of: Seq, cut: &Cut) {
    let partial = Some(match cut.why {
        "client-closed" => "partial: the client went away before the program's end",
        _ => CUT_SHORT,
    });
    link.indeterminate(of, Outcome { partial, ..Outcome::default() }).await;
}

const NO_COPY: &str = "what scp copies cannot be told";

/// Everything that goes on while a program runs: its output, its input, and what is asked of the channel.
async fn carry(
    link: &Link,
    lane: &Lane,
    asked: &Asked,
    started: &Started,
    ear: Ear,
    writer: &UpstreamWriter,
    ended: &mut Over,
) -> Result<Carried, Cut> {
    let mut asking = ended.clone();
    let output = Output::new(link, asked, started).carry(lane, ear, &mut asking);
    let input = link.input(lane, started, writer);
    let asks = asks(link, lane, started.of, started.seat.as_ref(), writer);
    tokio::pin!(output, input, asks);
    let mut sends = true;
    let cut = loop {
        tokio::select! {
            biased;
            // First: what it asks a person about has its end in the record when the run is over.
            carried = &mut output => return carried,
            cut = over(ended) => break cut,
            cut = &mut asks => break cut,
            sent = &mut input, if sends => match sent {
                // It takes no more of it, or has all.
                Ok(()) => sends = false,
                Err(cut) if cut.why == "upstream-closed" => sends = false,
                Err(cut) => break cut,
            },
        }
    };
    if !link.is_open(started.of) {
        // The record of how it ended is on its way: no second one says something else.
        let _ended = tokio::time::timeout(RECORD, &mut output).await;
    }
    Err(cut)
}

/// What is asked of a channel while its program runs. Resolves when the client has closed it, or nothing can be recorded.
pub(super) async fn asks(
    link: &Link,
    lane: &Lane,
    of: Seq,
    seat: Option<&Seat>,
    writer: &UpstreamWriter,
) -> Cut {
    loop {
        let Some(request) = lane.request().await else { return Cut::closed() };
        let done = match request {
            Request::Signal(signal) => pass_signal(link, of, writer, signal).await,
            Request::Beside(what) => link.beside(&what).await,
            Request::Window(size) => match seat {
                Some(seat) => pass_window(link, of, writer, seat, size).await,
                None => Ok(()),
            },
            Request::Env(name, _) => link.beside(&Beside { what: "env", name }).await,
            Request::Terminal(terminal) => link.beside(&Beside { what: "pty", name: terminal.term }).await,
            // RFC 4254, 6.5: one program for each channel.
            Request::Exec(_) | Request::Shell => link.beside(&second()).await,
            Request::Subsystem(_) => {
                let recorded = link.beside(&second()).await;
                let _gone = lane.answer(false).await;
                recorded
            }
        };
        if let Err(cut) = done {
            return cut;
        }
    }
}

fn second() -> Beside {
    Beside { what: "second-program", name: String::new() }
}

/// A signal goes on behind its record, if the standard names it.
async fn pass_signal(link: &Link, of: Seq, writer: &UpstreamWriter, signal: Sig) -> Result<(), Cut> {
    let Some(name) = signal_name(&signal) else {
        return link.beside(&Beside { what: "signal", name: String::new() }).await;
    };
    let gate = &link.resource.gate;
    let receipt = gate.note_of(&link.who, of, "signal", name).map_err(|e| link.unrecorded(e))?;
    let _durable = link.durable(receipt, REFUSAL_RECORD).await?;
    or_over(writer.signal(signal).await)
}

/// A window's new size goes on behind its record.
async fn pass_window(
    link: &Link,
    of: Seq,
    writer: &UpstreamWriter,
    seat: &Seat,
    size: Size,
) -> Result<(), Cut> {
    let words = format!("{}x{}", size.columns(), size.rows());
    let noted = link.resource.gate.note_of(&link.who, of, "window", &words);
    let _durable = link.durable(noted.map_err(|e| link.unrecorded(e))?, REFUSAL_RECORD).await?;
    seat.resize(size);
    or_over(writer.window(size).await)
}

/// Where the program is over, it is for nobody.
fn or_over(sent: Result<(), NotSent>) -> Result<(), Cut> {
    match sent {
        Ok(()) | Err(NotSent::Gone | NotSent::Unknown) => Ok(()),
        Err(NotSent::NotPermitted) => Err(not_sent(NotSent::NotPermitted)),
    }
}

/// RFC 4254, 6.10. `None`: another, whose name could say anything.
pub(super) fn signal_name(signal: &Sig) -> Option<&'static str> {
    Some(match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) if name == "USR2" => "USR2",
        Sig::Custom(_) => return None,
    })
}

/// A program's output was refused: the client is told, and no more of it.
pub(super) async fn withheld(link: &Link, lane: &Lane, words: &str) {
    link.part(lane, words, REFUSED_STATUS).await;
}

/// What the client hears of how a program ended that nothing was wrong with.
pub(super) async fn told(lane: &Lane, how: super::writer::Ended) -> Result<(), Cut> {
    ClientWriter(lane).end(how).await.map_err(|_gone| Cut::closed())
}

/// Of an exit for the record.
pub(super) fn tag(gate: &gate::Gate, how: &super::writer::Ended) -> (bool, MaskedText) {
    use super::writer::Ended;
    match how {
        Ended::Exit(status) => (*status == 0, mask::name(gate.detectors(), &format!("exit {status}"))),
        Ended::Signal { signal, .. } => {
            let name = signal_name(signal).unwrap_or("of another kind");
            (false, mask::name(gate.detectors(), &format!("signal {name}")))
        }
    }
}
