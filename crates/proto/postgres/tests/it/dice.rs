//! Seeded pseudo-randomness (splitmix64), and arbitrary messages made of it.

use bytes::Bytes;
use proto_postgres::message::*;
use proto_postgres::reply::{Column, DataRow, Fields, RowDescription};
use wire::RawField;

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0..n
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next() as u8).collect()
    }

    /// Bytes without a zero.
    pub fn string(&mut self) -> RawField {
        let bytes: Vec<u8> = (0..self.below(12)).map(|_| (self.next() % 255 + 1) as u8).collect();
        Bytes::from(bytes).into()
    }

    fn named(&mut self) -> RawField {
        let mut name = self.string().as_bytes().to_vec();
        name.push(b'x');
        Bytes::from(name).into()
    }

    fn raw(&mut self) -> RawField {
        Bytes::from(self.bytes(40)).into()
    }

    fn list<T>(&mut self, max: usize, mut one: impl FnMut(&mut Dice) -> T) -> Vec<T> {
        (0..self.below(max + 1)).map(|_| one(self)).collect()
    }

    fn format(&mut self) -> Format {
        if self.coin() { Format::Text } else { Format::Binary }
    }

    fn value(&mut self) -> Option<RawField> {
        self.coin().then(|| self.raw())
    }

    fn target(&mut self) -> Target {
        if self.coin() { Target::Statement(self.string()) } else { Target::Portal(self.string()) }
    }

    fn fields(&mut self) -> Fields {
        let codes = b"SVCMDHPpqWstcdnFLRz";
        let from = self.below(codes.len());
        codes[from..].iter().fold(Fields::default(), |fields, code| {
            if self.coin() { fields.with(*code, self.string().into_bytes()) } else { fields }
        })
    }

    fn copy_formats(&mut self) -> CopyFormats {
        CopyFormats { overall: self.format(), columns: self.list(5, Dice::format) }
    }

    pub fn row(&mut self) -> DataRow {
        let cells: Vec<Option<Vec<u8>>> = self.list(6, |d| d.coin().then(|| d.bytes(30)));
        DataRow::build(cells.iter().map(Option::as_deref)).unwrap()
    }

    fn column(&mut self) -> Column {
        Column {
            name: self.string(),
            table: self.next() as u32,
            attribute: self.next() as i16,
            type_oid: self.next() as u32,
            type_size: self.next() as i16,
            type_modifier: self.next() as i32,
            format: self.format(),
        }
    }

    /// A client message of kind `n` (0..CLIENT_KINDS).
    pub fn client_message(&mut self, n: usize) -> FromClient {
        match n {
            0 => {
                let params = self.list(5, Dice::value);
                let param_formats = match self.below(3) {
                    0 => Vec::new(),
                    1 => vec![self.format()],
                    _ => params.iter().map(|_| self.format()).collect(),
                };
                FromClient::Bind(Bind {
                    portal: self.string(),
                    statement: self.string(),
                    param_formats,
                    params,
                    result_formats: self.list(4, Dice::format),
                })
            }
            1 => FromClient::Close(self.target()),
            2 => FromClient::CopyData(self.raw()),
            3 => FromClient::CopyDone,
            4 => FromClient::CopyFail { reason: self.string() },
            5 => FromClient::Describe(self.target()),
            6 => FromClient::Execute { portal: self.string(), rows_max: self.next() as i32 },
            7 => FromClient::Flush,
            8 => FromClient::FunctionCall(FunctionCall {
                function: self.next() as u32,
                argument_formats: self.list(3, Dice::format),
                arguments: self.list(4, Dice::value),
                result_format: self.format(),
            }),
            9 => FromClient::Parse(Parse {
                statement: self.string(),
                sql: self.string(),
                types: self.list(5, |d| d.next() as u32),
            }),
            10 => FromClient::PasswordLike(self.raw()),
            11 => FromClient::Query { sql: self.string() },
            12 => FromClient::Sync,
            13 => FromClient::Terminate,
            _ => unreachable!("CLIENT_KINDS"),
        }
    }

    /// An upstream message of kind `n` (0..UPSTREAM_KINDS).
    pub fn upstream_message(&mut self, n: usize) -> FromUpstream {
        match n {
            0 => FromUpstream::Authentication(match self.below(7) {
                0 => Authentication::Ok,
                1 => Authentication::CleartextPassword,
                2 => Authentication::Md5Password { salt: (self.next() as u32).to_be_bytes() },
                3 => Authentication::Sasl { mechanisms: self.list(3, Dice::named) },
                4 => Authentication::SaslContinue(self.raw()),
                5 => Authentication::SaslFinal(self.raw()),
                _ => Authentication::Unsupported { code: *self.pick(&[2, 6, 7, 9]) },
            }),
            1 => {
                let mut key = self.bytes(250);
                key.extend([1, 2, 3, 4]);
                FromUpstream::BackendKeyData { pid: self.next() as u32, key: Bytes::from(key).into() }
            }
            2 => FromUpstream::BindComplete,
            3 => FromUpstream::CloseComplete,
            4 => FromUpstream::CommandComplete { tag: self.string() },
            5 => FromUpstream::CopyBoth(self.copy_formats()),
            6 => FromUpstream::CopyData(self.raw()),
            7 => FromUpstream::CopyDone,
            8 => FromUpstream::CopyIn(self.copy_formats()),
            9 => FromUpstream::CopyOut(self.copy_formats()),
            10 => FromUpstream::DataRow(self.row()),
            11 => FromUpstream::EmptyQuery,
            12 => FromUpstream::Error(self.fields()),
            13 => FromUpstream::FunctionCallResponse { result: self.value() },
            14 => FromUpstream::NegotiateProtocolVersion(NegotiateProtocolVersion {
                version: self.next() as u32,
                options: self.list(3, Dice::string),
            }),
            15 => FromUpstream::NoData,
            16 => FromUpstream::Notice(self.fields()),
            17 => FromUpstream::Notification {
                pid: self.next() as u32,
                channel: self.string(),
                payload: self.string(),
            },
            18 => FromUpstream::ParameterDescription { types: self.list(5, |d| d.next() as u32) },
            19 => FromUpstream::ParameterStatus { name: self.string(), value: self.string() },
            20 => FromUpstream::ParseComplete,
            21 => FromUpstream::PortalSuspended,
            22 => FromUpstream::ReadyForQuery(*self.pick(&[
                TxStatus::Idle,
                TxStatus::InTransaction,
                TxStatus::Failed,
            ])),
            23 => FromUpstream::RowDescription(RowDescription { columns: self.list(4, Dice::column) }),
            _ => unreachable!("UPSTREAM_KINDS"),
        }
    }
}

pub const CLIENT_KINDS: usize = 14;
pub const UPSTREAM_KINDS: usize = 24;
