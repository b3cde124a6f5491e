//! Seeded pseudo-randomness (splitmix64), and arbitrary messages made of it.

use bytes::Bytes;
use proto_ssh::sftp::attrs::Attrs;
use proto_ssh::sftp::message::*;
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

    /// One of some words.
    pub fn word(&mut self, of: &[&str]) -> RawField {
        RawField::copy_from(self.pick(of).as_bytes())
    }

    pub fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next() as u8).collect()
    }

    pub fn raw(&mut self, max: usize) -> RawField {
        Bytes::from(self.bytes(max)).into()
    }

    pub fn attrs(&mut self) -> Attrs {
        let pair = |d: &mut Dice| (d.next() as u32, d.next() as u32);
        Attrs {
            size: self.coin().then(|| self.next()),
            owner: self.coin().then(|| pair(self)),
            permissions: self.coin().then(|| self.next() as u32),
            times: self.coin().then(|| pair(self)),
            extended: (self.below(4) == 0)
                .then(|| (0..self.below(3)).map(|_| (self.raw(6), self.raw(6))).collect()),
        }
    }

    /// A request of kind `n` (0..REQUEST_KINDS).
    pub fn request(&mut self, n: usize) -> Request {
        match n {
            0 => Request::Open {
                path: self.raw(20),
                flags: OpenFlags(self.next() as u32 & 0x3f),
                attrs: self.attrs(),
            },
            1 => Request::Close { handle: self.raw(8) },
            2 => Request::Read { handle: self.raw(8), offset: self.next(), length: self.next() as u32 },
            3 => Request::Write { handle: self.raw(8), offset: self.next(), data: self.raw(60) },
            4 => Request::Lstat { path: self.raw(20) },
            5 => Request::Fstat { handle: self.raw(8) },
            6 => Request::Setstat { path: self.raw(20), attrs: self.attrs() },
            7 => Request::Fsetstat { handle: self.raw(8), attrs: self.attrs() },
            8 => Request::Opendir { path: self.raw(20) },
            9 => Request::Readdir { handle: self.raw(8) },
            10 => Request::Remove { path: self.raw(20) },
            11 => Request::Mkdir { path: self.raw(20), attrs: self.attrs() },
            12 => Request::Rmdir { path: self.raw(20) },
            13 => Request::Realpath { path: self.raw(20) },
            14 => Request::Stat { path: self.raw(20) },
            15 => Request::Rename { from: self.raw(20), to: self.raw(20) },
            16 => Request::Readlink { path: self.raw(20) },
            17 => Request::Symlink { first: self.raw(20), second: self.raw(20) },
            18 => Request::PosixRename { from: self.raw(20), to: self.raw(20) },
            19 => Request::Statvfs { path: self.raw(20) },
            20 => Request::Fstatvfs { handle: self.raw(8) },
            21 => Request::Hardlink { from: self.raw(20), to: self.raw(20) },
            22 => Request::Fsync { handle: self.raw(8) },
            23 => Request::Lsetstat { path: self.raw(20), attrs: self.attrs() },
            24 => Request::Limits,
            25 => Request::ExpandPath { path: self.raw(20) },
            26 => Request::CopyData {
                from: self.raw(8),
                from_offset: self.next(),
                length: self.next(),
                to: self.raw(8),
                to_offset: self.next(),
            },
            27 => Request::HomeDirectory { user: self.raw(8) },
            28 => Request::UsersGroupsById {
                users: (0..self.below(4)).map(|_| self.next() as u32).collect(),
                groups: (0..self.below(4)).map(|_| self.next() as u32).collect(),
            },
            _ => unreachable!("REQUEST_KINDS"),
        }
    }

    /// A reply of kind `n` (0..REPLY_KINDS).
    pub fn reply(&mut self, n: usize) -> Reply {
        match n {
            0 => Reply::Status(Status {
                code: Code(self.below(12) as u32),
                said: self.coin().then(|| (self.raw(20), self.raw(2))),
            }),
            1 => Reply::Handle(self.raw(8)),
            2 => Reply::Data(self.raw(60)),
            3 => Reply::Name(
                (0..self.below(4))
                    .map(|_| Entry { filename: self.raw(10), longname: self.raw(30), attrs: self.attrs() })
                    .collect(),
            ),
            4 => Reply::Attrs(self.attrs()),
            5 => Reply::Extended(self.raw(90)),
            _ => unreachable!("REPLY_KINDS"),
        }
    }
}

pub const REQUEST_KINDS: usize = 29;
pub const REPLY_KINDS: usize = 6;
