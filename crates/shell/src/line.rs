//! What a line does, as its caller sees it.

use std::sync::Arc;

/// Bytes `start..end` of the text that was read. What stands in a script inside the line (`sh -c '...'`, backquotes)
/// has the span of the word that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// A command line, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Every command, in the order of the text; one inside another (`sudo`, `sh -c`, a substitution) stands after it.
    pub commands: Vec<Command>,
    /// Why the line does more than what is said here, each with its place. Empty: what is said is all.
    pub opaque: Vec<(Opaque, Span)>,
    /// What dash and bash (or zsh) read differently. What is said here is bash's reading.
    pub differences: Vec<(Difference, Span)>,
    /// All the text that is not the shell's own: in order, none inside another.
    pub literals: Vec<Literal>,
}

/// One simple command, or the redirections of a compound one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub at: Span,
    pub place: Place,
    pub program: Program,
    pub args: Vec<Arg>,
    pub assignments: Vec<Assignment>,
    pub redirections: Vec<Redirection>,
    /// Files that its redirections and, where [`Command::reading`] says so, its arguments name.
    pub files: Vec<FileUse>,
    pub hosts: Vec<HostUse>,
    /// The directory that it runs in, where a `cd` before it surely went there.
    pub directory: Option<Arc<Value>>,
    pub reading: Reading,
    /// Another user than the login's, by `sudo`, `doas`, `su` or `runuser` around it.
    pub user: Option<User>,
}

/// How much of a command's arguments is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// The program is known: `files` and `hosts` are what its arguments name, or [`Line::opaque`] says that there is more.
    Arguments,
    /// The program is not known here. Its arguments are words; `files` and `hosts` hold what its redirections name.
    Words,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The command that runs it or in whose words it stands: an index into [`Line::commands`].
    pub parent: Option<usize>,
    pub inside: Inside,
    /// Its input is the output of the command before it, its output the input of the one behind it.
    pub piped_in: bool,
    pub piped_out: bool,
    pub background: bool,
    pub subshell: bool,
    /// It runs only if something before it turned out so: behind `&&` and `||`, in `if`, loops and `case`, in a function.
    pub conditional: bool,
}

impl Place {
    /// On the line itself, with nothing around it.
    pub const ALONE: Place = Place {
        parent: None,
        inside: Inside::Line,
        piped_in: false,
        piped_out: false,
        background: false,
        subshell: false,
        conditional: false,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inside {
    Line,
    /// `$( )`, backquotes, `<( )`
    Substitution,
    Function,
    /// An argument of `sudo`, `env`, `xargs`, `find -exec`, ...
    Wrapped,
    /// Text that a shell is given (`sh -c`).
    Script,
    /// On another host (`ssh host CMD`).
    Remote,
    /// In a container, a pod or another root directory.
    Container,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// As written, without quotes; and the part behind the last `/`, by which it is known.
    Named { written: String, base: String },
    /// It cannot be known; [`Line::opaque`] says so.
    Unknown,
    /// Assignments and redirections without a program, or the redirections of a group.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arg {
    pub at: Span,
    pub value: Value,
}

/// What a word becomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Exactly this.
    Literal(String),
    /// Literal but for where it starts: `~/x`, `$HOME/x`, `$PWD/x`, `~user/x`. The text is what follows.
    Below(Base, String),
    /// A pattern of file names: any number of files, or itself. Literal `*?[\` have a backslash before them. `X/**` is what
    /// `find` finds: `X` and all below it.
    Pattern(Base, String),
    /// It cannot be known, nor, unless `one`, how many words it becomes. The text is what it surely begins with.
    Unknown { starts: String, one: bool },
}

/// What a path is below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// As it is written: absolute, or relative to the directory that the command runs in.
    Written,
    Home,
    HomeOf(String),
    /// `$PWD`, `~+`
    Working,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assignment {
    pub name: String,
    pub value: Arg,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redirection {
    /// The descriptor as written, or the operator's own.
    pub descriptor: Option<String>,
    pub kind: RedirectionKind,
    pub at: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RedirectionKind {
    Read(Value),
    Write(Value),
    Append(Value),
    /// `>|`
    Clobber(Value),
    /// `<>`
    ReadWrite(Value),
    /// `&>`
    Both(Value),
    /// `&>>`
    BothAppend(Value),
    /// `>&2`, `<&3`, `2>&-`
    Duplicate(Value),
    /// The body, which goes to the program's input; none where it is not literal.
    HereDocument(Option<String>),
    HereString(Value),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileUse {
    pub path: Value,
    pub access: FileAccess,
    /// The directory that a `cd` before it went to, where `path` is relative to that and it surely went there.
    pub directory: Option<Arc<Value>>,
    pub at: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileAccess {
    Read,
    /// Created or replaced, or written somewhere in the middle.
    Write,
    Append,
    Delete,
    /// Mode, owner, times.
    Attributes,
    /// Names and attributes, not the content.
    List,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostUse {
    /// As written, without user, port and path; or [`HostUse::ANY`].
    pub host: Value,
    pub user: Option<String>,
    pub port: Option<String>,
    pub at: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum User {
    Named(String),
    Unknown,
}

/// Text that stands in the line and may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Literal {
    pub at: Span,
    pub kind: LiteralKind,
    /// What the shell makes of it: without quotes and escapes.
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LiteralKind {
    Word,
    HereDocument,
    Comment,
    /// The text between backquotes, as a whole.
    Backquoted,
    /// A name of a variable or a function, a number of a descriptor.
    Name,
    Arithmetic,
}

/// Why it cannot be said what a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Opaque {
    ProgramUnknown,
    Eval,
    Source,
    InlineCode,
    ScriptFile,
    CodeFromInput,
    ArgumentsFromInput,
    AwkProgram,
    SedScript,
    StartsPrograms,
    RunsOthers,
    Interactive,
    Later,
    Environment,
    ShellSettings,
    Shadowed,
    Alias,
    ArgumentUnknown,
    OptionUnknown,
    PathUnknown,
    HostUnknown,
    Directory,
    Arithmetic,
    Indirect,
    Configuration,
    Container,
    Unreadable,
    Dialect,
    TooDeep,
    Recodes,
    MakesLinks,
}

impl Opaque {
    pub const ALL: [Opaque; 31] = [
        Opaque::ProgramUnknown,
        Opaque::Eval,
        Opaque::Source,
        Opaque::InlineCode,
        Opaque::ScriptFile,
        Opaque::CodeFromInput,
        Opaque::ArgumentsFromInput,
        Opaque::AwkProgram,
        Opaque::SedScript,
        Opaque::StartsPrograms,
        Opaque::RunsOthers,
        Opaque::Interactive,
        Opaque::Later,
        Opaque::Environment,
        Opaque::ShellSettings,
        Opaque::Shadowed,
        Opaque::Alias,
        Opaque::ArgumentUnknown,
        Opaque::OptionUnknown,
        Opaque::PathUnknown,
        Opaque::HostUnknown,
        Opaque::Directory,
        Opaque::Arithmetic,
        Opaque::Indirect,
        Opaque::Configuration,
        Opaque::Container,
        Opaque::Unreadable,
        Opaque::Dialect,
        Opaque::TooDeep,
        Opaque::Recodes,
        Opaque::MakesLinks,
    ];

    /// A constant sentence, for records and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Opaque::ProgramUnknown => "which program runs depends on what a variable or a command gives",
            Opaque::Eval => "eval reads its arguments as commands",
            Opaque::Source => "a file is read as commands of this shell",
            Opaque::InlineCode => "an interpreter is given code in its arguments",
            Opaque::ScriptFile => "an interpreter is given a file of code",
            Opaque::CodeFromInput => "an interpreter reads code from its input",
            Opaque::ArgumentsFromInput => "a program gets arguments that come from input",
            Opaque::AwkProgram => "an awk program may run commands or reach files",
            Opaque::SedScript => "a sed script may run commands or reach files",
            Opaque::StartsPrograms => "an option or argument has the program start another program",
            Opaque::RunsOthers => {
                "the program starts others, or loads code, as its files, hooks or arguments say"
            }
            Opaque::Interactive => "the program takes commands while it runs",
            Opaque::Later => "the command runs at another time",
            Opaque::Environment => "a variable is set that decides what programs do",
            Opaque::ShellSettings => "a setting of the shell changes how it reads",
            Opaque::Shadowed => "a function or an alias of the line has the program's name",
            Opaque::Alias => "an alias changes how the shell reads",
            Opaque::ArgumentUnknown => "an argument that cannot be known may be an option",
            Opaque::OptionUnknown => "the program is known and the option is not",
            Opaque::PathUnknown => "which file is meant depends on what a variable or a command gives",
            Opaque::HostUnknown => "which host is meant is not in the line",
            Opaque::Directory => "which directory a relative path is in depends on how a command turns out",
            Opaque::Arithmetic => "bash evaluates what a variable holds in arithmetic",
            Opaque::Indirect => "an expansion evaluates what a variable holds",
            Opaque::Configuration => {
                "the program is given settings that change the system or may start programs"
            }
            Opaque::Container => "what runs is decided by a container or another root directory",
            Opaque::Unreadable => "text that a shell is given cannot be read",
            Opaque::Dialect => {
                "a script is read differently by other shells, and which one reads it is not known"
            }
            Opaque::TooDeep => {
                "commands inside commands are too many or too deep, or the files that they name are too many"
            }
            Opaque::Recodes => {
                "what is read is written in another form or in pieces, or beside something, which no detector sees through"
            }
            Opaque::MakesLinks => {
                "an archive, a repository or another host may bring symbolic links, which lead where it says"
            }
        }
    }
}

/// What shells read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// `$'...'`: dash has a `$` and a quoted string.
    AnsiQuote,
    /// `$"..."`
    TranslatedQuote,
    /// `{a,b}`, `{1..3}`: dash has one word.
    Braces,
    /// `<(...)`: dash has a syntax error.
    ProcessSubstitution,
    /// `[[`: dash runs a program of that name, and `<`, `>`, `&&` in it are its own.
    DoubleBracket,
    /// `&>`: dash runs what stands before it in the background and empties the file.
    AmpersandRedirection,
    /// `>&word`: dash has an error.
    BothRedirection,
    /// `|&`: dash has a syntax error; zsh reads it as bash does.
    PipeAmpersand,
    /// `<<<`: dash has a syntax error.
    HereString,
    /// `function`, `select`, `time`: dash runs a program of that name.
    ReservedWord,
    /// `((...))`: dash runs what is in it as commands.
    ArithmeticCommand,
    /// `10>x`: dash has a word and a redirection of the output.
    DescriptorNumber,
    /// `{fd}>x`
    DescriptorName,
    /// `a=(...)`, `a[1]=x`, `a+=x`
    ArrayAssignment,
    /// `;&` and `;;&`
    CaseFallThrough,
    /// `${x/a/b}`, `${x:1}`, `${!x}`, `${x[1]}`, `${x^}`
    ParameterOperator,
    /// `$[1+1]`: dash has these characters.
    BracketArithmetic,
    /// `/dev/tcp/host/port` in a redirection: a file for dash.
    NetworkRedirection,
    /// `=name`: a path of that program for zsh.
    EqualsWord,
}

/// Why a line is refused. Which side: the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refused {
    /// The byte where it was seen.
    pub at: u32,
    pub kind: RefusedKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedKind {
    TooLong,
    TooDeep,
    TooMany,
    NotUtf8,
    /// NUL, CR and every other control character but tab and newline.
    ControlCharacter,
    Unterminated,
    Syntax,
    /// Two shells, or two versions of one, read it differently and one of them is not ours.
    Ambiguous,
    Unsupported,
}

impl RefusedKind {
    pub fn as_str(self) -> &'static str {
        match self {
            RefusedKind::TooLong => "the command line is too long",
            RefusedKind::TooDeep => "the command line is nested too deeply",
            RefusedKind::TooMany => "the command line has too many parts",
            RefusedKind::NotUtf8 => "the command line is not UTF-8",
            RefusedKind::ControlCharacter => "the command line has a control character",
            RefusedKind::Unterminated => "a quote, a substitution or a group is not closed",
            RefusedKind::Syntax => "the command line has a syntax error",
            RefusedKind::Ambiguous => "shells read the command line in different ways",
            RefusedKind::Unsupported => "the command line uses what is not supported",
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (at byte {})", self.kind.as_str(), self.at)
    }
}

impl std::error::Error for Refused {}

impl HostUse {
    /// Whichever host an answer sends a program to. No host has this name.
    pub const ANY: &str = "*";
}

impl Value {
    /// The text, if it is exactly this and nothing else.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Value::Literal(text) => Some(text),
            Value::Below(..) | Value::Pattern(..) | Value::Unknown { .. } => None,
        }
    }

    /// What it surely begins with.
    pub fn starts(&self) -> &str {
        match self {
            Value::Literal(text) | Value::Unknown { starts: text, .. } => text,
            Value::Pattern(Base::Written, text) => text,
            Value::Pattern(..) | Value::Below(..) => "",
        }
    }

    /// How long its text is.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Value::Literal(text)
            | Value::Below(_, text)
            | Value::Pattern(_, text)
            | Value::Unknown { starts: text, .. } => text.len(),
        }
    }

    pub(crate) fn unknown() -> Value {
        Value::Unknown { starts: String::new(), one: true }
    }
}

impl Line {
    /// Whether all that the line does is said.
    pub fn is_known(&self) -> bool {
        self.opaque.is_empty()
    }
}
