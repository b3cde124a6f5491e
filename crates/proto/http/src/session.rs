//! What is legal next on a pair of connections: one request at a time, its interim responses, its response, and
//! whether each connection may go on afterwards. Spec: RFC 9112, 9.3 "Persistence"; RFC 9110, 10.1.1 "Expect", 15.2.
//!
//! A client may pipeline; its next request waits undecoded until [`Session::is_idle`]. The relay calls in the order of
//! the wire; a call that is out of order is a fault and changes nothing.

use crate::fault as why;
use crate::frame::Framing;
use crate::limits::*;
use crate::message::{Request, Response};
use wire::{Fault, Side};

/// One client's connection, with the one that its requests go to.
#[derive(Debug, Default)]
pub struct Session {
    exchange: Option<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    /// HTTP/1.0 clients read a body without a length until close.
    client_minor: u8,
    client_keeps: bool,
    upstream_keeps: bool,
    request: Part,
    response: Part,
    /// The client holds its body back.
    holds_back: bool,
    interim: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Awaited,
    Open,
    Ended,
}

/// What becomes of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Seen {
    /// The response to the request.
    Final,
    /// An interim response that the client may be shown: 100 when it waits for it.
    Show,
    /// An interim response that the client did not ask for or would not understand: it goes no further.
    Drop,
}

/// Which connections may carry another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct After {
    pub client: bool,
    pub upstream: bool,
}

impl Session {
    pub fn new() -> Session {
        Session::default()
    }

    /// Whether the next request may be decoded.
    pub fn is_idle(&self) -> bool {
        self.exchange.is_none()
    }

    /// A request's head was decoded. Errors: `OUT_OF_ORDER` inside an exchange (side: gateway).
    pub fn on_request(&mut self, request: &Request) -> Result<(), Fault> {
        if self.exchange.is_some() {
            return Err(why::REQUEST_OVERLAPS.on(Side::Gateway));
        }
        self.exchange = Some(Exchange {
            client_minor: request.minor,
            client_keeps: request.keep_alive,
            upstream_keeps: true,
            request: Part::Open,
            response: Part::Awaited,
            holds_back: request.expects_continue,
            interim: 0,
        });
        Ok(())
    }

    /// Whether the client waits for a 100 before it sends the body: send it [`CONTINUE`](crate::reply::CONTINUE) once
    /// the head was decided, or answer with a final status.
    pub fn holds_back(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.holds_back)
    }

    /// A 100 was sent to the client by the gateway itself, or the client sent its body without waiting.
    pub fn continued(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.holds_back = false;
        }
    }

    /// The request's end was decoded. Errors: there is no request (side: gateway).
    pub fn on_request_end(&mut self) -> Result<(), Fault> {
        let fault = why::UNFINISHED_REQUEST.on(Side::Gateway);
        let exchange =
            self.exchange.as_mut().filter(|exchange| exchange.request == Part::Open).ok_or(fault)?;
        exchange.request = Part::Ended;
        exchange.holds_back = false;
        Ok(())
    }

    /// A response's head came. Errors, side: upstream: no request, a second response, 101, too many interim ones.
    pub fn on_response(&mut self, response: &Response) -> Result<Seen, Fault> {
        let exchange = self.exchange.as_mut().ok_or(why::NO_EXCHANGE.on(Side::Upstream))?;
        if exchange.response != Part::Awaited {
            return Err(why::RESPONSE_TWICE.on(Side::Upstream));
        }
        if response.is_interim() {
            return exchange.on_interim(response.status);
        }
        exchange.response = Part::Open;
        let until_close = response.framing == Framing::UntilClose;
        exchange.upstream_keeps = response.keep_alive && !until_close;
        // The same body goes to a client of HTTP/1.1 in chunks, and to one of 1.0 until close.
        exchange.client_keeps &= match response.framing {
            Framing::None | Framing::Length(_) => true,
            Framing::Chunked | Framing::UntilClose => exchange.client_minor == 1,
        };
        Ok(Seen::Final)
    }

    /// The `101` came that was asked for: nothing of HTTP follows on upstream's connection. Errors as
    /// [`Session::on_response`].
    pub fn on_switch(&mut self) -> Result<(), Fault> {
        let exchange = self.exchange.as_mut().ok_or(why::NO_EXCHANGE.on(Side::Upstream))?;
        if exchange.response != Part::Awaited {
            return Err(why::RESPONSE_TWICE.on(Side::Upstream));
        }
        exchange.response = Part::Open;
        exchange.upstream_keeps = false;
        Ok(())
    }

    /// The response's end came: the exchange is over. A connection with a request whose body did not end carries no
    /// other. Errors: no response is open (side: gateway).
    pub fn on_response_end(&mut self) -> Result<After, Fault> {
        let fault = why::UNFINISHED_RESPONSE.on(Side::Gateway);
        let exchange = self.exchange.take_if(|exchange| exchange.response == Part::Open).ok_or(fault)?;
        let whole = exchange.request == Part::Ended;
        Ok(After { client: exchange.client_keeps && whole, upstream: exchange.upstream_keeps && whole })
    }

    /// Whether the client reads chunks: it speaks HTTP/1.1.
    pub fn client_reads_chunks(&self) -> bool {
        self.exchange.as_ref().is_some_and(|e| e.client_minor == 1)
    }

    /// Whether the client's connection may go on if the gateway answers now: ask before, since the answer says it.
    pub fn may_keep_client(&self) -> bool {
        self.exchange.as_ref().is_some_and(|e| e.client_keeps && e.request == Part::Ended)
    }

    /// The gateway answered by itself. `sent_upstream`: a part of the request went upstream, whose response is not
    /// waited for; that connection ends. Errors: no request, or upstream's response was begun (side: gateway).
    pub fn on_answer(&mut self, sent_upstream: bool) -> Result<After, Fault> {
        let fault = why::UNFINISHED_REQUEST.on(Side::Gateway);
        let client = self.may_keep_client();
        self.exchange.take_if(|exchange| exchange.response == Part::Awaited).ok_or(fault)?;
        Ok(After { client, upstream: !sent_upstream })
    }
}

impl Exchange {
    fn on_interim(&mut self, status: u16) -> Result<Seen, Fault> {
        self.interim += 1;
        match status {
            101 => Err(why::SWITCHED.on(Side::Upstream)),
            _ if self.interim > INTERIM_RESPONSES_MAX => Err(why::INTERIM_TOO_MANY.on(Side::Upstream)),
            _ if self.client_minor == 0 => Ok(Seen::Drop),
            100 if !self.holds_back => Ok(Seen::Drop),
            100 => {
                self.holds_back = false;
                Ok(Seen::Show)
            }
            _ => Ok(Seen::Show),
        }
    }
}

#[cfg(test)]
mod tests;
