//! Frames <-> typed messages, in both directions. Spec: PostgreSQL 18, 54.7 "Message Formats".
//!
//! Decoding is strict: a message must end exactly where its frame does, counts are checked against what is there,
//! a code that the specification does not list is refused. What decodes encodes to the same bytes.
//! All text stays [`RawField`]: names, statements and values are printed by no `Debug`.

use crate::frame::{self, Frame, tag};
use crate::limits::*;
use crate::reply::{DataRow, Fields, RowDescription};
use bytes::BytesMut;
use wire::{Fault, RawField, Reader, Side, Writer, kind};

/// What a client sends once its startup packet was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    Bind(Bind),
    Close(Target),
    CopyData(RawField),
    CopyDone,
    CopyFail {
        reason: RawField,
    },
    Describe(Target),
    Execute {
        portal: RawField,
        /// 0: all. Negative numbers mean all too, as in PostgreSQL.
        rows_max: i32,
    },
    Flush,
    /// Refused by us; decoded so that the refusal is in order and in the record.
    FunctionCall(FunctionCall),
    Parse(Parse),
    /// A password or a SASL response: which of them is known by what was asked. See [`password`] and [`sasl_initial`].
    PasswordLike(RawField),
    Query {
        sql: RawField,
    },
    Sync,
    Terminate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    pub statement: RawField,
    pub sql: RawField,
    /// OIDs of parameter types; 0 leaves one open.
    pub types: Vec<u32>,
}

/// Values as sent; text is not checked for UTF-8 here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub portal: RawField,
    pub statement: RawField,
    /// None, one for all, or one for each parameter.
    pub param_formats: Vec<Format>,
    pub params: Vec<Option<RawField>>,
    /// None, one for all, or one for each column.
    pub result_formats: Vec<Format>,
}

impl Bind {
    /// The format of parameter `index`: text if none is given.
    pub fn param_format(&self, index: usize) -> Format {
        format_of(&self.param_formats, index)
    }

    /// The format of result column `index`.
    pub fn result_format(&self, index: usize) -> Format {
        format_of(&self.result_formats, index)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    pub function: u32,
    pub argument_formats: Vec<Format>,
    pub arguments: Vec<Option<RawField>>,
    pub result_format: Format,
}

/// What a Describe or Close is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Statement(RawField),
    Portal(RawField),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    #[default]
    Text,
    Binary,
}

impl Format {
    pub fn code(self) -> u16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

/// What upstream sends, and what we send to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromUpstream {
    Authentication(Authentication),
    BackendKeyData {
        pid: u32,
        key: RawField,
    },
    BindComplete,
    CloseComplete,
    CommandComplete {
        tag: RawField,
    },
    /// Replication; refused by us.
    CopyBoth(CopyFormats),
    CopyData(RawField),
    CopyDone,
    CopyIn(CopyFormats),
    CopyOut(CopyFormats),
    DataRow(DataRow),
    EmptyQuery,
    Error(Fields),
    FunctionCallResponse {
        result: Option<RawField>,
    },
    NegotiateProtocolVersion(NegotiateProtocolVersion),
    NoData,
    Notice(Fields),
    Notification {
        pid: u32,
        channel: RawField,
        payload: RawField,
    },
    ParameterDescription {
        types: Vec<u32>,
    },
    ParameterStatus {
        name: RawField,
        value: RawField,
    },
    ParseComplete,
    PortalSuspended,
    ReadyForQuery(TxStatus),
    RowDescription(RowDescription),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    Ok,
    CleartextPassword,
    Md5Password {
        salt: [u8; 4],
    },
    Sasl {
        mechanisms: Vec<RawField>,
    },
    SaslContinue(RawField),
    SaslFinal(RawField),
    /// Kerberos V5, SCM, GSSAPI, SSPI: we do not speak them.
    Unsupported {
        code: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion {
    /// The newest version that the sender speaks, major number in the upper half.
    pub version: u32,
    /// Options that the sender does not know.
    pub options: Vec<RawField>,
}

/// The formats of a COPY stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormats {
    pub overall: Format,
    pub columns: Vec<Format>,
}

/// The transaction, as ReadyForQuery says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TxStatus {
    Idle,
    InTransaction,
    Failed,
}

impl TxStatus {
    pub fn code(self) -> u8 {
        match self {
            TxStatus::Idle => b'I',
            TxStatus::InTransaction => b'T',
            TxStatus::Failed => b'E',
        }
    }

    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            TxStatus::Idle => "idle",
            TxStatus::InTransaction => "in",
            TxStatus::Failed => "failed",
        }
    }
}

impl FromClient {
    /// Decodes a frame of the client's. Errors (side: client): those of [`Reader`], `BAD_VALUE` for a code or a
    /// length that the specification does not have, `TOO_MANY`, `UNKNOWN_MESSAGE`.
    pub fn decode(frame: &Frame) -> Result<FromClient, Fault> {
        let body = &frame.body;
        let read = |what| Reader::new(body, Side::Client, what);
        match frame.tag {
            tag::BIND => bind(read("Bind")),
            tag::CLOSE => target(read("Close")).map(FromClient::Close),
            tag::COPY_DATA => Ok(FromClient::CopyData(body.clone().into())),
            tag::COPY_DONE => empty(read("CopyDone"), FromClient::CopyDone),
            tag::COPY_FAIL => one_string(read("CopyFail")).map(|reason| FromClient::CopyFail { reason }),
            tag::DESCRIBE => target(read("Describe")).map(FromClient::Describe),
            tag::EXECUTE => execute(read("Execute")),
            tag::FLUSH => empty(read("Flush"), FromClient::Flush),
            tag::FUNCTION_CALL => function_call(read("FunctionCall")),
            tag::PARSE => parse(read("Parse")),
            tag::PASSWORD => Ok(FromClient::PasswordLike(body.clone().into())),
            tag::QUERY => one_string(read("Query")).map(|sql| FromClient::Query { sql }),
            tag::SYNC => empty(read("Sync"), FromClient::Sync),
            tag::TERMINATE => empty(read("Terminate"), FromClient::Terminate),
            _ => Err(read("client message").fault(kind::UNKNOWN_MESSAGE, "unknown message type")),
        }
    }

    /// Appends the message. Errors (side: gateway): what cannot be written; then `out` is as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Fault> {
        match self {
            FromClient::Bind(m) => frame::write(out, tag::BIND, "Bind", |w| {
                w.cstr(m.portal.as_bytes());
                w.cstr(m.statement.as_bytes());
                put_formats(w, &m.param_formats);
                put_values(w, &m.params);
                put_formats(w, &m.result_formats);
            }),
            FromClient::Close(target) => frame::write(out, tag::CLOSE, "Close", |w| put_target(w, target)),
            FromClient::CopyData(data) => {
                frame::write(out, tag::COPY_DATA, "CopyData", |w| w.bytes(data.as_bytes()))
            }
            FromClient::CopyDone => frame::write(out, tag::COPY_DONE, "CopyDone", |_| {}),
            FromClient::CopyFail { reason } => {
                frame::write(out, tag::COPY_FAIL, "CopyFail", |w| w.cstr(reason.as_bytes()))
            }
            FromClient::Describe(target) => {
                frame::write(out, tag::DESCRIBE, "Describe", |w| put_target(w, target))
            }
            FromClient::Execute { portal, rows_max } => frame::write(out, tag::EXECUTE, "Execute", |w| {
                w.cstr(portal.as_bytes());
                w.i32(*rows_max);
            }),
            FromClient::Flush => frame::write(out, tag::FLUSH, "Flush", |_| {}),
            FromClient::FunctionCall(m) => frame::write(out, tag::FUNCTION_CALL, "FunctionCall", |w| {
                w.u32(m.function);
                put_formats(w, &m.argument_formats);
                put_values(w, &m.arguments);
                w.u16(m.result_format.code());
            }),
            FromClient::Parse(m) => frame::write(out, tag::PARSE, "Parse", |w| {
                w.cstr(m.statement.as_bytes());
                w.cstr(m.sql.as_bytes());
                w.count(m.types.len());
                m.types.iter().for_each(|oid| w.u32(*oid));
            }),
            FromClient::PasswordLike(body) => {
                frame::write(out, tag::PASSWORD, "Password", |w| w.bytes(body.as_bytes()))
            }
            FromClient::Query { sql } => frame::write(out, tag::QUERY, "Query", |w| w.cstr(sql.as_bytes())),
            FromClient::Sync => frame::write(out, tag::SYNC, "Sync", |_| {}),
            FromClient::Terminate => frame::write(out, tag::TERMINATE, "Terminate", |_| {}),
        }
    }
}

impl FromUpstream {
    /// Decodes a frame of upstream's. Errors (side: upstream): as [`FromClient::decode`].
    pub fn decode(frame: &Frame) -> Result<FromUpstream, Fault> {
        let body = &frame.body;
        let read = |what| Reader::new(body, Side::Upstream, what);
        match frame.tag {
            tag::AUTHENTICATION => authentication(read("Authentication")),
            tag::BACKEND_KEY_DATA => backend_key_data(read("BackendKeyData")),
            tag::BIND_COMPLETE => empty(read("BindComplete"), FromUpstream::BindComplete),
            tag::CLOSE_COMPLETE => empty(read("CloseComplete"), FromUpstream::CloseComplete),
            tag::COMMAND_COMPLETE => {
                one_string(read("CommandComplete")).map(|tag| FromUpstream::CommandComplete { tag })
            }
            tag::COPY_BOTH => copy_formats(read("CopyBothResponse")).map(FromUpstream::CopyBoth),
            tag::COPY_DATA => Ok(FromUpstream::CopyData(body.clone().into())),
            tag::COPY_DONE => empty(read("CopyDone"), FromUpstream::CopyDone),
            tag::COPY_IN => copy_formats(read("CopyInResponse")).map(FromUpstream::CopyIn),
            tag::COPY_OUT => copy_formats(read("CopyOutResponse")).map(FromUpstream::CopyOut),
            tag::DATA_ROW => DataRow::decode(body).map(FromUpstream::DataRow),
            tag::EMPTY_QUERY => empty(read("EmptyQueryResponse"), FromUpstream::EmptyQuery),
            tag::ERROR => Fields::decode(body, "ErrorResponse").map(FromUpstream::Error),
            tag::FUNCTION_CALL_RESPONSE => function_call_response(read("FunctionCallResponse")),
            tag::NEGOTIATE_PROTOCOL_VERSION => negotiate(read("NegotiateProtocolVersion")),
            tag::NO_DATA => empty(read("NoData"), FromUpstream::NoData),
            tag::NOTICE => Fields::decode(body, "NoticeResponse").map(FromUpstream::Notice),
            tag::NOTIFICATION => notification(read("NotificationResponse")),
            tag::PARAMETER_DESCRIPTION => parameter_description(read("ParameterDescription")),
            tag::PARAMETER_STATUS => parameter_status(read("ParameterStatus")),
            tag::PARSE_COMPLETE => empty(read("ParseComplete"), FromUpstream::ParseComplete),
            tag::PORTAL_SUSPENDED => empty(read("PortalSuspended"), FromUpstream::PortalSuspended),
            tag::READY_FOR_QUERY => ready_for_query(read("ReadyForQuery")),
            tag::ROW_DESCRIPTION => RowDescription::decode(body).map(FromUpstream::RowDescription),
            _ => Err(read("upstream message").fault(kind::UNKNOWN_MESSAGE, "unknown message type")),
        }
    }

    /// Appends the message. Errors (side: gateway): what cannot be written; then `out` is as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Fault> {
        match self {
            FromUpstream::Authentication(m) => {
                frame::write(out, tag::AUTHENTICATION, "Authentication", |w| put_authentication(w, m))
            }
            FromUpstream::BackendKeyData { pid, key } => {
                frame::write(out, tag::BACKEND_KEY_DATA, "BackendKeyData", |w| {
                    w.u32(*pid);
                    w.bytes(key.as_bytes());
                })
            }
            FromUpstream::BindComplete => frame::write(out, tag::BIND_COMPLETE, "BindComplete", |_| {}),
            FromUpstream::CloseComplete => frame::write(out, tag::CLOSE_COMPLETE, "CloseComplete", |_| {}),
            FromUpstream::CommandComplete { tag } => {
                frame::write(out, tag::COMMAND_COMPLETE, "CommandComplete", |w| w.cstr(tag.as_bytes()))
            }
            FromUpstream::CopyBoth(m) => {
                frame::write(out, tag::COPY_BOTH, "CopyBothResponse", |w| put_copy_formats(w, m))
            }
            FromUpstream::CopyData(data) => {
                frame::write(out, tag::COPY_DATA, "CopyData", |w| w.bytes(data.as_bytes()))
            }
            FromUpstream::CopyDone => frame::write(out, tag::COPY_DONE, "CopyDone", |_| {}),
            FromUpstream::CopyIn(m) => {
                frame::write(out, tag::COPY_IN, "CopyInResponse", |w| put_copy_formats(w, m))
            }
            FromUpstream::CopyOut(m) => {
                frame::write(out, tag::COPY_OUT, "CopyOutResponse", |w| put_copy_formats(w, m))
            }
            FromUpstream::DataRow(row) => row.encode(out),
            FromUpstream::EmptyQuery => frame::write(out, tag::EMPTY_QUERY, "EmptyQueryResponse", |_| {}),
            FromUpstream::Error(fields) => frame::write(out, tag::ERROR, "ErrorResponse", |w| fields.put(w)),
            FromUpstream::FunctionCallResponse { result } => {
                frame::write(out, tag::FUNCTION_CALL_RESPONSE, "FunctionCallResponse", |w| {
                    put_value(w, result.as_ref());
                })
            }
            FromUpstream::NegotiateProtocolVersion(m) => {
                frame::write(out, tag::NEGOTIATE_PROTOCOL_VERSION, "NegotiateProtocolVersion", |w| {
                    w.u32(m.version);
                    w.length(m.options.len());
                    m.options.iter().for_each(|option| w.cstr(option.as_bytes()));
                })
            }
            FromUpstream::NoData => frame::write(out, tag::NO_DATA, "NoData", |_| {}),
            FromUpstream::Notice(fields) => {
                frame::write(out, tag::NOTICE, "NoticeResponse", |w| fields.put(w))
            }
            FromUpstream::Notification { pid, channel, payload } => {
                frame::write(out, tag::NOTIFICATION, "NotificationResponse", |w| {
                    w.u32(*pid);
                    w.cstr(channel.as_bytes());
                    w.cstr(payload.as_bytes());
                })
            }
            FromUpstream::ParameterDescription { types } => {
                frame::write(out, tag::PARAMETER_DESCRIPTION, "ParameterDescription", |w| {
                    w.count(types.len());
                    types.iter().for_each(|oid| w.u32(*oid));
                })
            }
            FromUpstream::ParameterStatus { name, value } => {
                frame::write(out, tag::PARAMETER_STATUS, "ParameterStatus", |w| {
                    w.cstr(name.as_bytes());
                    w.cstr(value.as_bytes());
                })
            }
            FromUpstream::ParseComplete => frame::write(out, tag::PARSE_COMPLETE, "ParseComplete", |_| {}),
            FromUpstream::PortalSuspended => {
                frame::write(out, tag::PORTAL_SUSPENDED, "PortalSuspended", |_| {})
            }
            FromUpstream::ReadyForQuery(status) => {
                frame::write(out, tag::READY_FOR_QUERY, "ReadyForQuery", |w| w.u8(status.code()))
            }
            FromUpstream::RowDescription(rows) => {
                frame::write(out, tag::ROW_DESCRIPTION, "RowDescription", |w| rows.put(w))
            }
        }
    }
}

/// The password in a `p` message that answers a request for one. Errors: as [`Reader`]'s (side: client).
pub fn password(body: &RawField) -> Result<RawField, Fault> {
    let body = body.to_bytes();
    one_string(Reader::new(&body, Side::Client, "PasswordMessage"))
}

/// Mechanism and initial response in a `p` message that answers AuthenticationSASL. Errors: as [`Reader`]'s, and
/// `BAD_VALUE` for a negative length other than -1 (side: client).
pub fn sasl_initial(body: &RawField) -> Result<(RawField, Option<RawField>), Fault> {
    let body = body.to_bytes();
    let mut r = Reader::new(&body, Side::Client, "SASLInitialResponse");
    let mechanism = r.cstr()?.into();
    let response = value(&mut r)?;
    r.finish()?;
    Ok((mechanism, response))
}

/// A `p` message with mechanism and initial response, for an upstream that asked for SASL.
pub fn encode_sasl_initial(out: &mut BytesMut, mechanism: &[u8], response: &[u8]) -> Result<(), Fault> {
    frame::write(out, tag::PASSWORD, "SASLInitialResponse", |w| {
        w.cstr(mechanism);
        w.length(response.len());
        w.bytes(response);
    })
}

/// A `p` message with a password (in clear or as an md5 response), for an upstream that asked for one.
pub fn encode_password(out: &mut BytesMut, password: &[u8]) -> Result<(), Fault> {
    frame::write(out, tag::PASSWORD, "PasswordMessage", |w| w.cstr(password))
}

fn empty<M>(r: Reader<'_>, message: M) -> Result<M, Fault> {
    r.finish().map(|()| message)
}

fn one_string(mut r: Reader<'_>) -> Result<RawField, Fault> {
    let text = r.cstr()?.into();
    r.finish()?;
    Ok(text)
}

fn bind(mut r: Reader<'_>) -> Result<FromClient, Fault> {
    let portal = r.cstr()?.into();
    let statement = r.cstr()?.into();
    let param_formats = formats(&mut r)?;
    let params = values(&mut r)?;
    let result_formats = formats(&mut r)?;
    if param_formats.len() > 1 && param_formats.len() != params.len() {
        return Err(
            r.fault(kind::BAD_VALUE, "as many parameter formats as parameters are needed, or one, or none")
        );
    }
    r.finish()?;
    Ok(FromClient::Bind(Bind { portal, statement, param_formats, params, result_formats }))
}

fn target(mut r: Reader<'_>) -> Result<Target, Fault> {
    let what = r.u8()?;
    let name = r.cstr()?.into();
    let target = match what {
        b'S' => Target::Statement(name),
        b'P' => Target::Portal(name),
        _ => return Err(r.fault(kind::BAD_VALUE, "neither a statement nor a portal")),
    };
    r.finish()?;
    Ok(target)
}

fn execute(mut r: Reader<'_>) -> Result<FromClient, Fault> {
    let portal = r.cstr()?.into();
    let rows_max = r.i32()?;
    r.finish()?;
    Ok(FromClient::Execute { portal, rows_max })
}

fn function_call(mut r: Reader<'_>) -> Result<FromClient, Fault> {
    let function = r.u32()?;
    let argument_formats = formats(&mut r)?;
    let arguments = values(&mut r)?;
    let result_format = format(&mut r)?;
    r.finish()?;
    Ok(FromClient::FunctionCall(FunctionCall { function, argument_formats, arguments, result_format }))
}

fn parse(mut r: Reader<'_>) -> Result<FromClient, Fault> {
    let statement = r.cstr()?.into();
    let sql = r.cstr()?.into();
    let types = oids(&mut r)?;
    r.finish()?;
    Ok(FromClient::Parse(Parse { statement, sql, types }))
}

fn authentication(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let message = match r.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => Authentication::Md5Password { salt: r.array()? },
        10 => Authentication::Sasl { mechanisms: mechanisms(&mut r)? },
        11 => Authentication::SaslContinue(r.take_rest().into()),
        12 => Authentication::SaslFinal(r.take_rest().into()),
        // 2 Kerberos V5, 6 SCM, 7 GSS, 8 GSS continue, 9 SSPI.
        code @ (2 | 6 | 7 | 9) => Authentication::Unsupported { code },
        _ => return Err(r.fault(kind::BAD_VALUE, "unknown authentication request")),
    };
    r.finish()?;
    Ok(FromUpstream::Authentication(message))
}

fn mechanisms(r: &mut Reader<'_>) -> Result<Vec<RawField>, Fault> {
    let mut mechanisms = Vec::new();
    loop {
        let name = RawField::new(r.cstr()?);
        if name.is_empty() {
            return Ok(mechanisms);
        }
        if mechanisms.len() == SASL_MECHANISMS_MAX {
            return Err(r.fault(kind::TOO_MANY, "too many SASL mechanisms"));
        }
        mechanisms.push(name);
    }
}

fn backend_key_data(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let pid = r.u32()?;
    let key = RawField::new(r.take_rest());
    if !crate::startup::CANCEL_KEY_BYTES.contains(&key.len()) {
        return Err(r.fault(kind::BAD_LENGTH, "invalid length of cancel key"));
    }
    Ok(FromUpstream::BackendKeyData { pid, key })
}

fn copy_formats(mut r: Reader<'_>) -> Result<CopyFormats, Fault> {
    let overall = match r.u8()? {
        0 => Format::Text,
        1 => Format::Binary,
        _ => return Err(r.fault(kind::BAD_VALUE, "unknown COPY format")),
    };
    let columns = formats(&mut r)?;
    r.finish()?;
    Ok(CopyFormats { overall, columns })
}

fn function_call_response(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let result = value(&mut r)?;
    r.finish()?;
    Ok(FromUpstream::FunctionCallResponse { result })
}

fn negotiate(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let version = r.u32()?;
    let count = r.u32()? as usize;
    if count > NEGOTIATED_OPTIONS_MAX {
        return Err(r.fault(kind::TOO_MANY, "too many protocol options"));
    }
    let options = (0..count).map(|_| r.cstr().map(RawField::new)).collect::<Result<_, _>>()?;
    r.finish()?;
    Ok(FromUpstream::NegotiateProtocolVersion(NegotiateProtocolVersion { version, options }))
}

fn notification(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let pid = r.u32()?;
    let channel = r.cstr()?.into();
    let payload = r.cstr()?.into();
    r.finish()?;
    Ok(FromUpstream::Notification { pid, channel, payload })
}

fn parameter_description(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let types = oids(&mut r)?;
    r.finish()?;
    Ok(FromUpstream::ParameterDescription { types })
}

fn parameter_status(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let name = r.cstr()?.into();
    let value = r.cstr()?.into();
    r.finish()?;
    Ok(FromUpstream::ParameterStatus { name, value })
}

fn ready_for_query(mut r: Reader<'_>) -> Result<FromUpstream, Fault> {
    let status = match r.u8()? {
        b'I' => TxStatus::Idle,
        b'T' => TxStatus::InTransaction,
        b'E' => TxStatus::Failed,
        _ => return Err(r.fault(kind::BAD_VALUE, "unknown transaction status")),
    };
    r.finish()?;
    Ok(FromUpstream::ReadyForQuery(status))
}

/// A count of elements of at least `width` bytes each; refused if they cannot be there, so that the count may size
/// an allocation: never more than a small multiple of the bytes that really arrived.
fn count(r: &mut Reader<'_>, width: usize) -> Result<usize, Fault> {
    let count = usize::from(r.u16()?);
    if count * width > r.remaining() {
        return Err(r.fault(kind::TRUNCATED, "the message is shorter than its fields"));
    }
    Ok(count)
}

fn oids(r: &mut Reader<'_>) -> Result<Vec<u32>, Fault> {
    let count = count(r, 4)?;
    (0..count).map(|_| r.u32()).collect()
}

fn formats(r: &mut Reader<'_>) -> Result<Vec<Format>, Fault> {
    let count = count(r, 2)?;
    (0..count).map(|_| format(r)).collect()
}

/// What is said of a value in neither of the two formats.
pub const UNKNOWN_FORMAT: &str = "unknown format code";

pub(crate) fn format(r: &mut Reader<'_>) -> Result<Format, Fault> {
    match r.u16()? {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        _ => Err(r.fault(kind::BAD_VALUE, UNKNOWN_FORMAT)),
    }
}

fn values(r: &mut Reader<'_>) -> Result<Vec<Option<RawField>>, Fault> {
    let count = count(r, 4)?;
    (0..count).map(|_| value(r)).collect()
}

fn value(r: &mut Reader<'_>) -> Result<Option<RawField>, Fault> {
    let length = r.i32()?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| r.fault(kind::BAD_LENGTH, "a negative length"))?;
    r.bytes(length).map(|bytes| Some(bytes.into()))
}

fn format_of(formats: &[Format], index: usize) -> Format {
    match formats {
        [] => Format::Text,
        [all] => *all,
        each => each.get(index).copied().unwrap_or_default(),
    }
}

fn put_target(w: &mut Writer<'_>, target: &Target) {
    let (what, name) = match target {
        Target::Statement(name) => (b'S', name),
        Target::Portal(name) => (b'P', name),
    };
    w.u8(what);
    w.cstr(name.as_bytes());
}

fn put_formats(w: &mut Writer<'_>, formats: &[Format]) {
    w.count(formats.len());
    formats.iter().for_each(|format| w.u16(format.code()));
}

fn put_values(w: &mut Writer<'_>, values: &[Option<RawField>]) {
    w.count(values.len());
    values.iter().for_each(|value| put_value(w, value.as_ref()));
}

fn put_value(w: &mut Writer<'_>, value: Option<&RawField>) {
    match value {
        None => w.i32(-1),
        Some(value) => {
            w.length(value.len());
            w.bytes(value.as_bytes());
        }
    }
}

fn put_copy_formats(w: &mut Writer<'_>, formats: &CopyFormats) {
    w.u8(u8::from(formats.overall == Format::Binary));
    put_formats(w, &formats.columns);
}

fn put_authentication(w: &mut Writer<'_>, message: &Authentication) {
    match message {
        Authentication::Ok => w.u32(0),
        Authentication::CleartextPassword => w.u32(3),
        Authentication::Md5Password { salt } => {
            w.u32(5);
            w.bytes(salt);
        }
        Authentication::Sasl { mechanisms } => {
            w.u32(10);
            for name in mechanisms {
                if name.is_empty() {
                    w.fail(kind::BAD_VALUE, "a SASL mechanism without a name");
                }
                w.cstr(name.as_bytes());
            }
            w.u8(0);
        }
        Authentication::SaslContinue(data) => {
            w.u32(11);
            w.bytes(data.as_bytes());
        }
        Authentication::SaslFinal(data) => {
            w.u32(12);
            w.bytes(data.as_bytes());
        }
        Authentication::Unsupported { code } => w.u32(*code),
    }
}
