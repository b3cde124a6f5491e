//! What a client's message is about, as far as the protocol itself says. What a SQL text does is crate `sql`'s;
//! this module only says which messages carry one, which have an effect, and which we refuse whatever they say.

use crate::message::{Bind, FromClient, Parse, Target};
use crate::startup::StartupMessage;
use wire::RawField;

/// One message of the client's, by what has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A text of any number of statements, to be decided whole and sent as [`crate::session`] says.
    Statements {
        sql: &'a RawField,
    },
    /// One statement is named. It is decided now (so that the client hears of a refusal where a driver expects it)
    /// and again each time that it is executed.
    Prepare(&'a Parse),
    /// A portal is made of a statement and values. Values are fields: fingerprinted and recorded as masked.
    Bind(&'a Bind),
    /// A portal runs: this is the effect, and what the permit is for.
    Execute {
        portal: &'a RawField,
        rows_max: i32,
    },
    /// Shape of a statement or portal. No rows, no effect; the names of columns are an answer too.
    Describe(&'a Target),
    Close(&'a Target),
    /// Ends a pipeline; commits its implicit transaction.
    Boundary,
    /// Asks for replies so far. No effect.
    Flush,
    /// A piece of what is written by a COPY that was decided; recorded as a chunk before it is sent.
    CopyChunk(&'a RawField),
    CopyEnd,
    CopyAbort,
    /// The client says goodbye.
    End,
    /// Never sent upstream.
    Refused(Refused),
}

/// Why a message is refused whatever policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub sqlstate: &'static str,
    pub message: &'static str,
    pub hint: &'static str,
    /// Whether the connection ends with it.
    pub fatal: bool,
}

/// What `message` is about.
pub fn of(message: &FromClient) -> Fact<'_> {
    match message {
        FromClient::Query { sql } => Fact::Statements { sql },
        FromClient::Parse(parse) => Fact::Prepare(parse),
        FromClient::Bind(bind) => Fact::Bind(bind),
        FromClient::Execute { portal, rows_max } => Fact::Execute { portal, rows_max: *rows_max },
        FromClient::Describe(target) => Fact::Describe(target),
        FromClient::Close(target) => Fact::Close(target),
        FromClient::Sync => Fact::Boundary,
        FromClient::Flush => Fact::Flush,
        FromClient::CopyData(data) => Fact::CopyChunk(data),
        FromClient::CopyDone => Fact::CopyEnd,
        FromClient::CopyFail { .. } => Fact::CopyAbort,
        FromClient::Terminate => Fact::End,
        FromClient::FunctionCall(_) => Fact::Refused(FUNCTION_CALL),
        FromClient::PasswordLike(_) => Fact::Refused(PASSWORD),
    }
}

/// Why a startup message is refused whatever policy says.
pub fn of_startup(message: &StartupMessage) -> Result<(), Refused> {
    if message.user().is_none() {
        return Err(NO_USER);
    }
    if message.asks_replication() {
        return Err(REPLICATION);
    }
    Ok(())
}

/// The fast path calls a function by OID, past every parser.
pub const FUNCTION_CALL: Refused = Refused {
    sqlstate: "0A000",
    message: "function calls by OID (the fast-path protocol) are not allowed through this gateway",
    hint: "Call the function in a SELECT.",
    fatal: false,
};

pub const PASSWORD: Refused =
    Refused { sqlstate: "08P01", message: "password message after authentication", hint: "", fatal: true };

pub const NO_USER: Refused = Refused {
    sqlstate: "28000",
    message: "no PostgreSQL user name specified in startup packet",
    hint: "",
    fatal: true,
};

pub const REPLICATION: Refused = Refused {
    sqlstate: "0A000",
    message: "replication connections are not allowed through this gateway",
    hint: "",
    fatal: true,
};
