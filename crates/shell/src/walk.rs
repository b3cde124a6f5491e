//! Tree -> commands, in the order of the text, each with its place.

use crate::beside;
use crate::expand;
use crate::limits::{
    BRACES_BYTES_MAX, COMMANDS_MAX, DEPTH_MAX, FILE_BYTES, FILES_BYTES_MAX, NODES_MAX, PATH_BYTES_MAX,
    REPEATED_BYTES_MAX, TEXT_BYTES_MAX,
};
use crate::line::{
    Arg, Assignment, Base, Command, Difference, FileAccess, FileUse, HostUse, Inside, Line, Literal,
    LiteralKind, Opaque, Place, Program, Reading, Redirection, RedirectionKind, Refused, RefusedKind, Span,
    User, Value,
};
use crate::names;
use crate::programs;
use crate::read::{self, Read};
use crate::syntax::{
    Assign, Body, Group, GroupKind, Item, Joint, List, Node, Part, Piece, Pipeline, Redirect, Simple, Word,
};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Reads a line and says what it does.
pub(crate) fn line(text: &str) -> Result<Line, Refused> {
    let found = read::read(text, 0, 0, None)?;
    let mut walk = Walk::new(found.literals.clone());
    walk.tree(found, &Scene::default(), By::This);
    Ok(walk.finish())
}

/// Says what a program that is started with these words does.
pub(crate) fn argv(words: &[&str]) -> Result<Line, Refused> {
    if words.len() > NODES_MAX {
        return Err(Refused { at: 0, kind: RefusedKind::TooMany });
    }
    let (mut args, mut literals, mut start) = (Vec::new(), Vec::new(), 0);
    for word in words {
        // One space more than the words have.
        if start + word.len() > TEXT_BYTES_MAX {
            return Err(Refused { at: TEXT_BYTES_MAX as u32, kind: RefusedKind::TooLong });
        }
        if let Some(bad) = word.find(|c: char| c.is_control() && !matches!(c, '\t' | '\n')) {
            return Err(Refused { at: (start + bad) as u32, kind: RefusedKind::ControlCharacter });
        }
        let at = Span { start: start as u32, end: (start + word.len()) as u32 };
        args.push(Arg { at, value: Value::Literal((*word).to_owned()) });
        literals.push(Literal { at, kind: LiteralKind::Word, value: (*word).to_owned() });
        start += word.len() + 1;
    }
    let mut walk = Walk::new(literals);
    let at = Span { start: 0, end: args.last().map_or(0, |arg| arg.at.end) };
    if !args.is_empty() {
        let call = Call { at, words: args, assignments: Vec::new(), redirections: Vec::new() };
        walk.call(call, &Scene::default());
    }
    Ok(walk.finish())
}

pub(crate) struct Walk {
    pub line: Line,
    bodies: Vec<Body>,
    functions: BTreeSet<String>,
    nodes: usize,
    depth: usize,
    braces_bytes: usize,
    repeated_bytes: usize,
    files_bytes: usize,
    directory: Directory,
    /// Variables that may have a pattern of file names, and those that become words without quotes.
    patterns: BTreeSet<String>,
    unquoted: Vec<(String, Span)>,
    /// The shell shows its commands or its variables, and where a value comes into it.
    traces: bool,
    expands: Option<Span>,
}

/// What a word costs beside its text.
const WORD_BYTES: usize = 16;

/// The directory that relative paths are in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Directory {
    /// Where the line started.
    Start,
    /// Where a `cd` surely went.
    Known(Arc<Value>),
    Unsure,
}

/// What is around a command.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub place: Place,
    pub user: Option<User>,
    /// All positions, inside a script that is an argument.
    pub fixed: Option<Span>,
    pub input: Input,
    /// The shell that runs it reads its script from the standard input.
    pub script_input: bool,
}

/// Which shell reads a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The one that reads the line around it.
    This,
    Bash,
    /// dash, or one that is not known: what it reads differently is opaque.
    Another,
}

/// What a command's standard input is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The line's own.
    Inherited,
    Text(String),
    /// The rest of the script that the command stands in.
    Script,
    /// A pipe, a file, a body with expansions.
    Other,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene { place: Place::ALONE, user: None, fixed: None, input: Input::Inherited, script_input: false }
    }
}

impl Scene {
    /// What is around a command that the command `parent` runs.
    pub(crate) fn within(&self, parent: usize, inside: Inside) -> Scene {
        let place = Place { parent: Some(parent), inside, ..self.place };
        Scene { place, ..self.clone() }
    }
}

/// A command to be looked at: the words of a simple one, or those that another command runs.
pub(crate) struct Call {
    pub at: Span,
    /// The program first.
    pub words: Vec<Arg>,
    pub assignments: Vec<Assignment>,
    pub redirections: Vec<Redirection>,
}

impl Walk {
    fn new(literals: Vec<Literal>) -> Walk {
        Walk {
            line: Line { literals, ..Line::default() },
            bodies: Vec::new(),
            functions: BTreeSet::new(),
            nodes: 0,
            depth: 0,
            braces_bytes: BRACES_BYTES_MAX,
            repeated_bytes: REPEATED_BYTES_MAX,
            files_bytes: FILES_BYTES_MAX,
            directory: Directory::Start,
            patterns: BTreeSet::new(),
            unquoted: Vec::new(),
            traces: false,
            expands: None,
        }
    }

    fn finish(mut self) -> Line {
        for (name, at) in std::mem::take(&mut self.unquoted) {
            if self.patterns.contains(&name) || names::is_of_line(&name) {
                self.opaque(Opaque::PathUnknown, at);
            }
        }
        // What is shown is quoted: the end of a line is `\n`, right before what follows.
        if let (true, Some(at)) = (self.traces, self.expands) {
            self.opaque(Opaque::Recodes, at);
        }
        let mut line = self.line;
        line.opaque.sort_by_key(|(why, at)| (*at, *why));
        line.opaque.dedup();
        line.differences.sort_by_key(|(what, at)| (*at, *what));
        line.differences.dedup();
        line
    }

    fn tree(&mut self, found: Read, scene: &Scene, by: By) {
        let Read { tree, differences, functions, sets, nodes, .. } = found;
        self.nodes = nodes;
        let bodies = std::mem::replace(&mut self.bodies, tree.bodies);
        let outer = self.functions.clone();
        // What this shell itself runs later has its functions, and it has those that are defined there.
        if by != By::This {
            self.functions.clear();
        }
        self.functions.extend(functions);
        for (what, at) in differences {
            let at = scene.fixed.unwrap_or(at);
            // A translation is looked up on the host, and bash expands what it finds as it does the text.
            if what == Difference::TranslatedQuote {
                self.opaque(Opaque::Indirect, at);
            }
            self.line.differences.push((what, at));
        }
        for set in sets {
            self.assigned(&set.name, set.plain, scene.fixed.unwrap_or(set.at));
        }
        self.list(&tree.list, scene);
        self.bodies = bodies;
        if by != By::This {
            self.functions = outer;
        }
    }

    pub(crate) fn opaque(&mut self, why: Opaque, at: Span) {
        self.line.opaque.push((why, at));
    }

    fn differs(&mut self, what: Difference, at: Span) {
        self.line.differences.push((what, at));
    }

    /// Text that a shell is given as an argument: read as a line of its own. It does not matter where its parts stand in it.
    pub(crate) fn script(&mut self, text: &str, at: Span, scene: &Scene, by: By) {
        let mut scene = Scene { fixed: Some(at), script_input: false, ..scene.clone() };
        // Its commands share one input: what each of them finds there cannot be said.
        if matches!(scene.input, Input::Text(_)) {
            scene.input = Input::Other;
        }
        self.read_script(text, at, &scene, by);
    }

    /// Text that a shell reads from its input. A command in it that reads there too takes lines away from the shell, so that
    /// the rest may mean something else.
    pub(crate) fn script_of_input(&mut self, text: &str, at: Span, scene: &Scene, by: By) {
        // Several may be given the same.
        if !self.repeats(text.len(), at) {
            return;
        }
        let several = text.trim_end().contains('\n');
        let input = if several { Input::Script } else { Input::Other };
        let scene = Scene { fixed: Some(at), input, script_input: true, ..scene.clone() };
        self.read_script(text, at, &scene, by);
    }

    fn read_script(&mut self, text: &str, at: Span, scene: &Scene, by: By) {
        let differences = self.line.differences.len();
        let directory = self.directory.clone();
        if matches!(scene.place.inside, Inside::Remote | Inside::Container) {
            self.directory = Directory::Start;
        }
        match read::read(text, self.depth + 1, self.nodes, Some(at)) {
            Ok(found) => {
                self.depth += 1;
                self.tree(found, scene, by);
                self.depth -= 1;
            }
            Err(_) => self.opaque(Opaque::Unreadable, at),
        }
        if by == By::Another && self.line.differences.len() > differences {
            self.opaque(Opaque::Dialect, at);
        }
        self.directory = directory;
    }

    fn list(&mut self, list: &List, scene: &Scene) {
        for item in &list.items {
            let before = self.directory.clone();
            self.item(item, scene);
            if item.background {
                self.directory = before;
            } else if self.directory != before {
                self.directory = Directory::Unsure;
            }
        }
    }

    fn item(&mut self, item: &Item, scene: &Scene) {
        let mut scene = scene.clone();
        scene.place.background |= item.background;
        let before = self.directory.clone();
        self.pipeline(&item.first, &scene);
        scene.place.conditional = true;
        for (joint, pipeline) in &item.rest {
            if *joint == Joint::Or && self.directory != before {
                self.directory = Directory::Unsure;
            }
            let before = self.directory.clone();
            self.pipeline(pipeline, &scene);
            // It may not have run, and what follows runs all the same.
            if *joint == Joint::Or && self.directory != before {
                self.directory = Directory::Unsure;
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, scene: &Scene) {
        let nodes = &*pipeline.nodes;
        let before = self.directory.clone();
        let mut moves = false;
        for (at, node) in nodes.iter().enumerate() {
            let mut scene = scene.clone();
            if at > 0 {
                scene.place.piped_in = true;
                scene.input = Input::Other;
            }
            scene.place.piped_out |= at + 1 < nodes.len();
            scene.place.subshell |= nodes.len() > 1;
            // Each of several begins where the line is.
            self.directory = before.clone();
            self.node(node, &scene);
            moves |= self.directory != before;
        }
        // Each of several runs in a shell of its own, but the last one in zsh; and what follows a `!` runs if it failed.
        if (nodes.len() > 1 || pipeline.negated) && moves {
            self.directory = Directory::Unsure;
        }
    }

    fn node(&mut self, node: &Node, scene: &Scene) {
        match node {
            Node::Simple(simple) => self.simple(simple, scene),
            Node::Group(group) => self.group(group, scene),
            Node::Function { body, span, .. } => {
                let mut scene = scene.clone();
                scene.place.inside = Inside::Function;
                scene.place.conditional = true;
                self.unsure_if_moved(scene.fixed.unwrap_or(*span), |walk| walk.node(body, &scene));
            }
        }
    }

    /// What may run never, or more than once: where it changes the directory, relative paths in it are not sure either.
    fn unsure_if_moved(&mut self, at: Span, inner: impl FnOnce(&mut Self)) {
        let before = self.directory.clone();
        inner(self);
        if self.directory != before {
            self.opaque(Opaque::Directory, at);
            self.directory = Directory::Unsure;
        }
    }

    fn group(&mut self, group: &Group, scene: &Scene) {
        let at = scene.fixed.unwrap_or(group.span);
        let mut inner = scene.clone();
        if group.kind == GroupKind::Subshell {
            inner.place.subshell = true;
        }
        if group.kind == GroupKind::Conditional {
            inner.place.conditional = true;
        }
        if !group.redirects.is_empty() || matches!(group.kind, GroupKind::Test | GroupKind::Arithmetic) {
            self.group_command(group, at, scene);
            if group.redirects.iter().any(|r| r.operator.starts_with('<')) {
                inner.input = Input::Other;
            }
        }
        let before = self.directory.clone();
        if group.kind == GroupKind::Conditional {
            self.unsure_if_moved(at, |walk| walk.parts(group, &inner));
        } else {
            self.parts(group, &inner);
        }
        if group.kind == GroupKind::Subshell {
            self.directory = before;
        }
    }

    fn parts(&mut self, group: &Group, scene: &Scene) {
        for part in &group.parts {
            match part {
                Part::List(list) => self.list(list, scene),
                Part::Word(word) => self.part(word, scene),
                Part::Element(word) => {
                    self.part(word, scene);
                    self.element(word, scene);
                }
            }
        }
    }

    fn part(&mut self, word: &Word, scene: &Scene) {
        self.expanded(word, scene);
        self.recodes_if(beside::word_glues(word), word.span, scene);
        self.inner_commands(&word.pieces, scene);
    }

    /// A word of `for`: what it lists is listed by nobody else.
    fn element(&mut self, word: &Word, scene: &Scene) {
        self.unquoted(word, scene);
        let found = expand::words(word, &mut self.braces_bytes);
        if found.braces {
            self.differs(Difference::Braces, scene.fixed.unwrap_or(word.span));
        }
        let args: Vec<Arg> = found.args.into_iter().map(|arg| place(arg, scene)).collect();
        if args.iter().any(is_pattern)
            && let Some(index) = self.push(scene.fixed.unwrap_or(word.span), scene, Program::None, Vec::new())
        {
            self.lists(index, &args);
        }
    }

    /// The shell itself looks for the files that a pattern means, where the program does not.
    fn lists(&mut self, index: usize, args: &[Arg]) {
        // The `?` of a URL is taken for a pattern, of names in a directory that nobody has.
        let url =
            |arg: &&Arg| ["http://", "https://"].iter().any(|scheme| arg.value.starts().starts_with(scheme));
        let files = self.line.commands.get(index).map_or(&[][..], |command| &command.files);
        let named: HashSet<Value> = files.iter().map(|file| file.path.clone()).collect();
        for arg in args.iter().filter(|arg| is_pattern(arg) && !url(arg) && !named.contains(&arg.value)) {
            let directory = listed(arg.value.clone());
            if !named.contains(&directory) {
                self.file(index, directory, FileAccess::List, arg.at);
            }
        }
    }

    /// What a word brings that stands without quotes, and is a pattern perhaps.
    fn unquoted(&mut self, word: &Word, scene: &Scene) {
        let at = scene.fixed.unwrap_or(word.span);
        let found = names::brought(word);
        if found.anything {
            self.opaque(Opaque::PathUnknown, at);
        }
        self.unquoted.extend(found.variables.into_iter().map(|name| (name, at)));
    }

    fn expanded(&mut self, word: &Word, scene: &Scene) {
        if beside::has_value(word) {
            self.brings(scene.fixed.unwrap_or(word.span));
        }
    }

    /// The redirections of a group, as a command without a program.
    fn group_command(&mut self, group: &Group, at: Span, scene: &Scene) {
        let redirections = self.redirections(&group.redirects, scene);
        let index = self.push(at, scene, Program::None, redirections);
        if group.kind == GroupKind::Test && compares(group, EVALUATES) {
            self.opaque(Opaque::Arithmetic, at);
        }
        // What the pattern found, and its parts, are in a variable then.
        if group.kind == GroupKind::Test && compares(group, &["=~"]) {
            self.opaque(Opaque::Recodes, at);
        }
        if let Some(index) = index {
            self.redirected(index, &group.redirects, scene);
        }
    }

    fn simple(&mut self, simple: &Simple, scene: &Scene) {
        let at = scene.fixed.unwrap_or(simple.span);
        let mut words: Vec<Arg> = Vec::new();
        for word in &simple.words {
            let found = expand::words(word, &mut self.braces_bytes);
            if found.braces {
                self.differs(Difference::Braces, scene.fixed.unwrap_or(word.span));
            }
            if found.tilde {
                self.opaque(Opaque::PathUnknown, scene.fixed.unwrap_or(word.span));
            }
            words.extend(found.args.into_iter().map(|arg| place(arg, scene)));
            self.unquoted(word, scene);
            self.expanded(word, scene);
        }
        let assignments: Vec<Assignment> =
            simple.assignments.iter().flat_map(|assign| assignments_of(assign, scene)).collect();
        for assign in &simple.assignments {
            let pager = matches!(&*assign.values, [value] if programs::is_no_pager(&assign.name, value.literal().as_deref()));
            if pager && !assign.array && !assign.appends {
                continue;
            }
            self.assigned(&assign.name, !assign.values.iter().any(names::may_hold_pattern), at);
            for word in &assign.values {
                self.expanded(word, scene);
                if assign.array {
                    self.unquoted(word, scene);
                }
            }
        }
        for assignment in &assignments {
            self.harmless_set(&assignment.name, Some(&assignment.value.value), at);
            if !words.is_empty() {
                self.variable_given(&assignment.name, Some(&assignment.value.value), at);
            }
        }
        if scene.script_input && may_be_exec(&words) && simple.redirects.iter().any(is_of_input) {
            self.opaque(Opaque::CodeFromInput, at);
        }
        let redirections = self.redirections(&simple.redirects, scene);
        let mut inner = scene.clone();
        if let Some(input) = input_of(&redirections) {
            inner.input = input;
        }
        let mut listed: Vec<Arg> = words.iter().filter(|arg| is_pattern(arg)).cloned().collect();
        listed
            .extend(simple.assignments.iter().filter(|assign| assign.array).flat_map(|a| elements(a, scene)));
        let before = self.directory.clone();
        let call = Call { at, words, assignments, redirections };
        let Some(index) = self.call(call, &inner) else { return };
        // All that stands in its words happens before it goes anywhere.
        let moved = std::mem::replace(&mut self.directory, before);
        self.lists(index, &listed);
        for word in &simple.words {
            self.recodes_if(beside::word_glues(word), word.span, scene);
        }
        for assign in &simple.assignments {
            for word in &assign.values {
                let glues = beside::word_glues(word) || assign.appends && beside::glues_behind(word);
                self.recodes_if(glues, assign.span, scene);
                self.substitutions(&word.pieces, index, scene);
            }
        }
        for word in &simple.words {
            self.substitutions(&word.pieces, index, scene);
        }
        self.redirected(index, &simple.redirects, scene);
        self.directory = moved;
    }

    /// Looks at a command, and at those that it runs. None if there are too many.
    pub(crate) fn call(&mut self, call: Call, scene: &Scene) -> Option<usize> {
        let Call { at, words, assignments, redirections } = call;
        let mut words = words.into_iter();
        let first = words.next();
        let args: Vec<Arg> = words.collect();
        let program = match &first {
            None => Program::None,
            Some(arg) => self.program(arg),
        };
        let index = self.push(at, scene, program, redirections)?;
        if let Some(command) = self.line.commands.get_mut(index) {
            command.args = args.clone();
            command.assignments = assignments;
        }
        if let Some(Arg { value: Value::Literal(written), .. }) = &first
            && !written.is_empty()
        {
            self.named(index, written, &args, scene);
            if scene.input == Input::Script && programs::may_read_input(written, &args) {
                self.opaque(Opaque::CodeFromInput, at);
            }
        }
        Some(index)
    }

    fn program(&mut self, arg: &Arg) -> Program {
        match &arg.value {
            Value::Literal(written) if !written.is_empty() => {
                let base = written.rsplit('/').next().unwrap_or(written).to_owned();
                let relative = written.contains('/') && !written.starts_with('/');
                if relative && self.directory == Directory::Unsure {
                    self.opaque(Opaque::Directory, arg.at);
                }
                Program::Named { written: written.clone(), base }
            }
            Value::Literal(_) | Value::Below(..) | Value::Pattern(..) | Value::Unknown { .. } => {
                self.opaque(Opaque::ProgramUnknown, arg.at);
                Program::Unknown
            }
        }
    }

    fn named(&mut self, index: usize, written: &str, args: &[Arg], scene: &Scene) {
        let base = written.rsplit('/').next().unwrap_or(written);
        let at = self.line.commands.get(index).map_or_else(Span::default, |command| command.at);
        if self.functions.contains(written) {
            self.opaque(Opaque::Shadowed, at);
            return;
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.opaque(Opaque::TooDeep, at);
        } else {
            programs::reach(self, index, base, args, scene);
        }
        self.depth -= 1;
    }

    /// A command of words that another one runs.
    pub(crate) fn inner_call(&mut self, parent: usize, words: &[Arg], inside: Inside, scene: &Scene) {
        let Some(first) = words.first() else { return };
        if !self.repeats(words.iter().map(|arg| WORD_BYTES + arg.value.bytes()).sum(), first.at) {
            return;
        }
        let call =
            Call { at: first.at, words: words.to_vec(), assignments: Vec::new(), redirections: Vec::new() };
        let before = self.directory.clone();
        if matches!(inside, Inside::Remote | Inside::Container) {
            self.directory = Directory::Start;
        }
        self.call(call, &scene.within(parent, inside));
        if matches!(inside, Inside::Remote | Inside::Container) {
            self.directory = before;
        }
    }

    /// Whether a command inside another one may still be given so much.
    fn repeats(&mut self, bytes: usize, at: Span) -> bool {
        let left = self.repeated_bytes.checked_sub(bytes);
        match left {
            Some(left) => self.repeated_bytes = left,
            None => self.opaque(Opaque::TooDeep, at),
        }
        left.is_some()
    }

    /// Whether it may, where so many words are each of so many bytes at most.
    pub(crate) fn would_repeat(&self, words: usize, bytes: usize) -> bool {
        words.saturating_mul(WORD_BYTES + bytes) <= self.repeated_bytes
    }

    /// What runs in a directory that the line does not name: a login's, say.
    pub(crate) fn elsewhere(&mut self, inner: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.directory, Directory::Unsure);
        inner(self);
        self.directory = before;
    }

    fn push(
        &mut self,
        at: Span,
        scene: &Scene,
        program: Program,
        redirections: Vec<Redirection>,
    ) -> Option<usize> {
        let index = self.line.commands.len();
        if index >= COMMANDS_MAX {
            self.opaque(Opaque::TooDeep, at);
            return None;
        }
        let command = Command {
            at,
            place: scene.place,
            program,
            args: Vec::new(),
            assignments: Vec::new(),
            files: Vec::new(),
            hosts: Vec::new(),
            directory: match &self.directory {
                Directory::Known(directory) => Some(directory.clone()),
                Directory::Start | Directory::Unsure => None,
            },
            reading: Reading::Words,
            user: scene.user.clone(),
            redirections: Vec::new(),
        };
        self.line.commands.push(command);
        for redirection in &redirections {
            self.redirected_file(index, redirection);
        }
        if let Some(command) = self.line.commands.get_mut(index) {
            command.redirections = redirections;
        }
        Some(index)
    }

    fn redirections(&mut self, redirects: &[Redirect], scene: &Scene) -> Vec<Redirection> {
        redirects.iter().map(|redirect| self.redirection(redirect, scene)).collect()
    }

    fn redirection(&mut self, redirect: &Redirect, scene: &Scene) -> Redirection {
        let number = redirect.target.bare().is_some_and(|t| {
            let digits = t.strip_suffix('-').unwrap_or(&t);
            digits.bytes().all(|b| b.is_ascii_digit())
        });
        let at = scene.fixed.unwrap_or(redirect.span);
        let mut target = || self.target(&redirect.target, at);
        let kind = match redirect.operator {
            "<" => RedirectionKind::Read(target()),
            ">" => RedirectionKind::Write(target()),
            ">>" => RedirectionKind::Append(target()),
            ">|" => RedirectionKind::Clobber(target()),
            "<>" => RedirectionKind::ReadWrite(target()),
            "&>" => RedirectionKind::Both(target()),
            "&>>" => RedirectionKind::BothAppend(target()),
            ">&" if !number => RedirectionKind::Both(target()),
            "<&" | ">&" => RedirectionKind::Duplicate(target()),
            "<<<" => RedirectionKind::HereString(expand::value(&redirect.target)),
            _ => RedirectionKind::HereDocument(self.body(redirect)),
        };
        Redirection { descriptor: redirect.descriptor.clone(), kind, at }
    }

    /// What a redirection opens. bash expands braces there, and has an error where they make several words; dash and zsh do not.
    fn target(&mut self, word: &Word, at: Span) -> Value {
        let found = expand::words(word, &mut self.braces_bytes);
        match &*found.args {
            [target] if !found.braces => target.value.clone(),
            _ => {
                self.differs(Difference::Braces, at);
                Value::unknown()
            }
        }
    }

    fn body(&self, redirect: &Redirect) -> Option<String> {
        let body = self.bodies.get(redirect.body?)?;
        Word { pieces: body.pieces.clone(), span: body.span }.literal()
    }

    fn redirected_file(&mut self, index: usize, redirection: &Redirection) {
        let at = redirection.at;
        if let RedirectionKind::ReadWrite(value) = &redirection.kind
            && self.network(index, value, at)
        {
            return;
        }
        let (value, access) = match &redirection.kind {
            RedirectionKind::Read(value) => (value, FileAccess::Read),
            RedirectionKind::Write(value)
            | RedirectionKind::Clobber(value)
            | RedirectionKind::Both(value) => (value, FileAccess::Write),
            RedirectionKind::Append(value) | RedirectionKind::BothAppend(value) => {
                (value, FileAccess::Append)
            }
            RedirectionKind::ReadWrite(value) => {
                // What is written stands before the rest of what was there.
                self.opaque(Opaque::Recodes, at);
                self.file(index, value.clone(), FileAccess::Read, at);
                (value, FileAccess::Write)
            }
            RedirectionKind::Duplicate(value) => {
                // A descriptor that a variable names may be a file, too.
                if value.literal().is_none() {
                    self.opaque(Opaque::PathUnknown, at);
                }
                return;
            }
            RedirectionKind::HereDocument(_) | RedirectionKind::HereString(_) => return,
        };
        if self.network(index, value, at) {
            return;
        }
        self.file(index, value.clone(), access, at);
    }

    /// `/dev/tcp/host/port`, which bash opens itself.
    fn network(&mut self, index: usize, value: &Value, at: Span) -> bool {
        let starts = value.starts();
        let Some(rest) = starts.strip_prefix("/dev/tcp/").or_else(|| starts.strip_prefix("/dev/udp/")) else {
            return false;
        };
        self.differs(Difference::NetworkRedirection, at);
        let (host, port) = rest.split_once('/').map_or((rest, None), |(host, port)| (host, Some(port)));
        let host = match value {
            Value::Literal(_) => Value::Literal(host.to_owned()),
            _ => Value::unknown(),
        };
        self.host(index, host, None, port.map(str::to_owned), at);
        true
    }

    /// Names a file that a command reaches.
    pub(crate) fn file(&mut self, index: usize, path: Value, access: FileAccess, at: Span) {
        let path = if path.bytes() > PATH_BYTES_MAX { Value::unknown() } else { path };
        let path = if access == FileAccess::List { listed(path) } else { path };
        let Some(left) = self.files_bytes.checked_sub(FILE_BYTES + path.bytes()) else {
            return self.opaque(Opaque::TooDeep, at);
        };
        self.files_bytes = left;
        if matches!(path, Value::Unknown { .. }) {
            self.opaque(Opaque::PathUnknown, at);
        }
        let relative = match &path {
            Value::Literal(text) | Value::Pattern(Base::Written, text) => !text.starts_with('/'),
            Value::Below(Base::Working, _) | Value::Pattern(Base::Working, _) => true,
            Value::Below(..) | Value::Pattern(..) | Value::Unknown { .. } => false,
        };
        let directory = match &self.directory {
            Directory::Known(directory) if relative => Some(directory.clone()),
            Directory::Unsure if relative => {
                self.opaque(Opaque::Directory, at);
                None
            }
            _ => None,
        };
        if let Some(command) = self.line.commands.get_mut(index) {
            command.files.push(FileUse { path, access, directory, at });
        }
    }

    pub(crate) fn host(
        &mut self,
        index: usize,
        host: Value,
        user: Option<String>,
        port: Option<String>,
        at: Span,
    ) {
        if host.literal().is_none() {
            self.opaque(Opaque::HostUnknown, at);
        }
        if let Some(command) = self.line.commands.get_mut(index) {
            command.hosts.push(HostUse { host, user, port, at });
        }
    }

    /// A program goes where an answer sends it.
    pub(crate) fn any_host(&mut self, index: usize, at: Span) {
        self.host(index, Value::Literal(HostUse::ANY.to_owned()), None, None, at);
    }

    pub(crate) fn known(&mut self, index: usize) {
        if let Some(command) = self.line.commands.get_mut(index) {
            command.reading = Reading::Arguments;
        }
    }

    /// `cd`: where it goes, if that can be said.
    pub(crate) fn moves(&mut self, to: Option<Value>) {
        let went = to.and_then(|to| self.went(to)).filter(|to| to.bytes() <= PATH_BYTES_MAX);
        self.directory = went.map_or(Directory::Unsure, |to| Directory::Known(Arc::new(to)));
    }

    fn went(&self, to: Value) -> Option<Value> {
        match to {
            Value::Literal(path) if path.starts_with('/') => Some(Value::Literal(path)),
            value @ Value::Below(Base::Home | Base::HomeOf(_), _) => Some(value),
            Value::Literal(path) if !path.is_empty() && path != "-" => match &self.directory {
                Directory::Start => Some(Value::Literal(path)),
                Directory::Known(before) => match &**before {
                    Value::Literal(front) => Some(Value::Literal(format!("{front}/{path}"))),
                    Value::Below(base, front) => Some(Value::Below(base.clone(), format!("{front}/{path}"))),
                    Value::Pattern(..) | Value::Unknown { .. } => None,
                },
                Directory::Unsure => None,
            },
            _ => None,
        }
    }

    /// What a program does in a directory that it goes to itself.
    pub(crate) fn inside(&mut self, directory: &Value, inner: impl FnOnce(&mut Self)) {
        let before = self.directory.clone();
        self.moves(Some(directory.clone()));
        inner(self);
        self.directory = before;
    }

    /// The shell shows what it runs (`set -x`), or what its variables have, in quotes of its own.
    pub(crate) fn traced(&mut self) {
        self.traces = true;
    }

    /// A value that is not in the line comes into the shell.
    pub(crate) fn brings(&mut self, at: Span) {
        self.expands.get_or_insert(at);
    }

    pub(crate) fn moved(&mut self) {
        self.directory = Directory::Unsure;
    }

    pub(crate) fn variable_set(&mut self, name: &str, at: Span) {
        self.assigned(name, false, at);
    }

    /// `plain`: what it is set to is no pattern.
    fn assigned(&mut self, name: &str, plain: bool, at: Span) {
        if !plain {
            self.patterns.insert(name.to_owned());
        }
        if programs::decides(name) {
            self.opaque(Opaque::Environment, at);
        }
    }

    /// A variable that programs get: only those are plain that are known to decide nothing.
    pub(crate) fn variable_given(&mut self, name: &str, value: Option<&Value>, at: Span) {
        let pager = programs::is_no_pager(name, value.and_then(Value::literal));
        if !programs::is_harmless(name) && !pager {
            self.opaque(Opaque::Environment, at);
        }
        self.harmless_set(name, value, at);
    }

    /// Such a variable names no file, and no character set in which a shell would find other characters in the line.
    fn harmless_set(&mut self, name: &str, value: Option<&Value>, at: Span) {
        let plain = |text| programs::is_harmless_value(name, text);
        let known = programs::is_harmless(name) || name.starts_with("LC_");
        if known && !value.is_none_or(|value| value.literal().is_some_and(plain)) {
            self.opaque(Opaque::Environment, at);
        }
    }

    /// Substitutions in the targets and bodies of redirections.
    fn redirected(&mut self, index: usize, redirects: &[Redirect], scene: &Scene) {
        for redirect in redirects {
            self.recodes_if(beside::glues(&redirect.target.pieces), redirect.span, scene);
            self.substitutions(&redirect.target.pieces, index, scene);
            let body = redirect.body.and_then(|at| self.bodies.get(at)).cloned();
            if let Some(body) = body {
                self.recodes_if(beside::glues(&body.pieces), body.span, scene);
                self.substitutions(&body.pieces, index, scene);
            }
        }
    }

    fn recodes_if(&mut self, does: bool, at: Span, scene: &Scene) {
        if does {
            self.opaque(Opaque::Recodes, scene.fixed.unwrap_or(at));
        }
    }

    fn substitutions(&mut self, pieces: &[Piece], parent: usize, scene: &Scene) {
        let inner = scene.within(parent, Inside::Substitution);
        self.inner_commands(pieces, &inner);
    }

    /// Commands in the pieces of a word, and what else in them is evaluated.
    fn inner_commands(&mut self, pieces: &[Piece], scene: &Scene) {
        for piece in pieces {
            match piece {
                Piece::Text { .. } => {}
                Piece::Parameter { evaluates, cuts, inner, .. } => {
                    for (_, why) in
                        [(evaluates, Opaque::Indirect), (cuts, Opaque::Recodes)].iter().filter(|(is, _)| **is)
                    {
                        let at = self.line.commands.last().map_or_else(Span::default, |c| c.at);
                        self.opaque(*why, scene.fixed.unwrap_or(at));
                    }
                    for word in inner {
                        self.inner_commands(&word.pieces, scene);
                    }
                }
                Piece::Command { list, .. } => self.substituted(list, scene),
                Piece::Arithmetic { inner, names } => {
                    if *names {
                        let at = self.line.commands.last().map_or_else(Span::default, |c| c.at);
                        self.opaque(Opaque::Arithmetic, scene.fixed.unwrap_or(at));
                    }
                    self.inner_commands(inner, scene);
                }
            }
        }
    }

    fn substituted(&mut self, list: &List, scene: &Scene) {
        let mut scene = scene.clone();
        scene.place.inside = Inside::Substitution;
        scene.place.subshell = true;
        scene.place.piped_in = false;
        scene.place.piped_out = false;
        let before = self.directory.clone();
        self.list(list, &scene);
        self.directory = before;
    }
}

/// Operators of `[[` whose words bash evaluates as arithmetic.
const EVALUATES: &[&str] = &["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R"];

/// Whether `[[` has one of these operators.
fn compares(group: &Group, operators: &[&str]) -> bool {
    group.parts.iter().any(|part| match part {
        Part::Word(word) => word.bare().is_some_and(|text| operators.contains(&&*text)),
        Part::List(_) | Part::Element(_) => false,
    })
}

/// The directory that is listed for a pattern, where only its last part is one, and no name that it finds may be an option but the one
/// that it is written as (`--include=*.c`).
fn listed(path: Value) -> Value {
    let Value::Pattern(base, text) = &path else { return path };
    let wild = ['*', '?', '[', '\\'];
    let (front, name) = text.rsplit_once('/').map_or((None, &**text), |(front, name)| (Some(front), name));
    let option =
        |text: &str| text.starts_with("--") && text.split(wild).next().is_some_and(|t| t.contains('='));
    let plain = *base != Base::Written || option(text) || !text.starts_with(['-', '*', '?', '[', '\\']);
    if !plain || name.is_empty() || front.is_some_and(|front| front.contains(wild)) {
        return path;
    }
    match (base, front) {
        (Base::Written, None) => Value::Literal(".".to_owned()),
        (Base::Written, Some("")) => Value::Literal("/".to_owned()),
        (Base::Written, Some(front)) => Value::Literal(front.to_owned()),
        (base, front) => Value::Below(base.clone(), front.unwrap_or("").to_owned()),
    }
}

fn is_pattern(arg: &Arg) -> bool {
    matches!(arg.value, Value::Pattern(..))
}

/// The words of an array, which are looked up as those of a command are.
fn elements(assign: &Assign, scene: &Scene) -> Vec<Arg> {
    let at = scene.fixed.unwrap_or(assign.span);
    assign.values.iter().map(|word| Arg { at, value: expand::value(word) }).collect()
}

fn place(arg: Arg, scene: &Scene) -> Arg {
    Arg { at: scene.fixed.unwrap_or(arg.at), ..arg }
}

fn assignments_of(assign: &Assign, scene: &Scene) -> Vec<Assignment> {
    let at = scene.fixed.unwrap_or(assign.span);
    let value = |word: &Word| Assignment {
        name: assign.name.clone(),
        value: Arg { at, value: expand::assigned(word) },
    };
    assign.values.iter().map(value).collect()
}

/// Whether a command may be `exec`, whose redirections stay.
fn may_be_exec(words: &[Arg]) -> bool {
    let first = words.first().map(|arg| arg.value.literal());
    matches!(first, Some(None | Some("exec" | "command" | "builtin")))
}

/// Whether a redirection changes or closes descriptor 0.
fn is_of_input(redirect: &Redirect) -> bool {
    let input = match &redirect.descriptor {
        Some(descriptor) => is_zero(descriptor),
        None => redirect.operator.starts_with('<'),
    };
    // `3<&0-` moves it.
    let moved = redirect.target.literal().is_none_or(|text| text.strip_suffix('-').is_some_and(is_zero));
    input || redirect.operator.ends_with('&') && moved
}

fn is_zero(descriptor: &str) -> bool {
    !descriptor.is_empty() && descriptor.bytes().all(|b| b == b'0')
}

/// The standard input that redirections give, if they do.
fn input_of(redirections: &[Redirection]) -> Option<Input> {
    let mut found = None;
    for redirection in redirections {
        let standard = redirection.descriptor.as_deref().is_none_or(is_zero);
        match &redirection.kind {
            RedirectionKind::HereDocument(Some(text)) if standard => found = Some(Input::Text(text.clone())),
            RedirectionKind::HereString(Value::Literal(text)) if standard => {
                found = Some(Input::Text(format!("{text}\n")));
            }
            RedirectionKind::Read(_)
            | RedirectionKind::ReadWrite(_)
            | RedirectionKind::HereDocument(_)
            | RedirectionKind::HereString(_)
                if standard =>
            {
                found = Some(Input::Other);
            }
            RedirectionKind::Duplicate(_) => found = Some(Input::Other),
            _ => {}
        }
    }
    found
}
