//! What a COPY carries: its form, and the governed column behind each field.

use pg_query::protobuf as p;

use super::{Found, Walk, constant};
use crate::analysis::{Carried, CopyField, CopyForm, CopyType, Reason};
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

const UNREAD: &str = "The gateway cannot read the options of this COPY, and it carries governed values.";

const UNTYPED: &str = "A COPY in binary format whose values nobody can look at, since their types are not known: use text or csv, or copy a table.";

impl<'a> Walk<'a> {
    /// A COPY to the client of what has no types that are known here.
    pub(super) fn copies_untyped(&mut self, s: &p::CopyStmt) {
        if !s.is_from && !matches!(form(&s.options), Some((CopyForm::Text { .. } | CopyForm::Csv { .. }, _)))
        {
            self.opaque(UNTYPED);
        }
    }

    /// Whether each field of what a query gives is a column of a table, as it is there.
    pub(super) fn gives_columns(&self, query: &'a Node) -> bool {
        let Some(Tree::SelectStmt(s)) = Tree::of(query) else { return false };
        let tables: Option<Vec<(&p::RangeVar, &Relation)>> = s
            .from_clause
            .iter()
            .map(|item| match Tree::of(item)? {
                Tree::RangeVar(name) if name.alias.as_ref().is_none_or(|alias| alias.colnames.is_empty()) => {
                    Some((name, self.table(name)?))
                }
                _ => None,
            })
            .collect();
        let Some(tables) = tables else { return false };
        // A table's name is a whole row, and behind a table's a function may stand as a column does.
        let is_row = |name: &str| {
            let known_as =
                |table: &p::RangeVar| table.alias.as_ref().is_some_and(|alias| alias.aliasname == name);
            tables.iter().any(|(table, _)| known_as(table) || table.relname == name)
        };
        let has = |name: &str| tables.iter().any(|(_, relation)| relation.column(name).is_some());
        let column = |target: &Node| {
            let Some(Tree::ResTarget(target)) = Tree::of(target) else { return false };
            let Some(Tree::ColumnRef(c)) = target.val.as_deref().and_then(Tree::of) else { return false };
            match c.fields.last().and_then(Tree::of) {
                Some(Tree::AStar(_)) => c.fields.len() <= 2,
                Some(Tree::String(name)) => c.fields.len() <= 2 && has(&name.sval) && !is_row(&name.sval),
                _ => false,
            }
        };
        s.op() == p::SetOperation::SetopNone
            && s.with_clause.is_none()
            && s.values_lists.is_empty()
            && s.target_list.iter().all(column)
    }

    fn table(&self, name: &p::RangeVar) -> Option<&'a Relation> {
        match self.lookup(&name.schemaname, &name.relname) {
            Found::Relation(relation) => Some(relation).filter(|r| matches!(r.kind, 'r' | 'p' | 'f')),
            Found::Temp(_) | Found::Cte(_) | Found::Nothing => None,
        }
    }

    /// `columns`: the relation and attribute that each field is of, where there is one. Of a COPY that carries nothing
    /// governed no more is known than the types of its fields. `as_it_is`: each is that column and not what is made of it.
    pub(super) fn carried(&mut self, s: &'a p::CopyStmt, columns: Vec<Option<(u32, i16)>>, as_it_is: bool) {
        let typed =
            |column: &Option<(u32, i16)>| Some(CopyType { oid: self.type_of(column.as_ref()?)?, as_it_is });
        self.copied = columns.iter().map(typed).collect();
        let fields: Vec<Option<CopyField>> =
            columns.into_iter().map(|column| self.copy_field(column?)).collect();
        if fields.iter().all(Option::is_none) {
            return;
        }
        match form(&s.options) {
            Some((form, header)) => self.carried = Some(Carried { form, header, fields }),
            None => self.refuse(Reason::refused(UNREAD)),
        }
    }

    fn copy_field(&self, column: (u32, i16)) -> Option<CopyField> {
        let (relation, attnum) = column;
        let mask = self.governed.mask(relation, attnum)?;
        let type_oid = self.type_of(&column).unwrap_or(0);
        Some(CopyField { relation, attnum, class: mask.class.clone(), type_oid })
    }

    fn type_of(&self, (relation, attnum): &(u32, i16)) -> Option<u32> {
        let columns = &self.snapshot.relations.get(relation)?.columns;
        columns.iter().find(|c| c.num == *attnum).map(|c| c.type_oid)
    }
}

/// The form that the options ask for, and whether a line of names comes first. `None`: not understood.
fn form(options: &[Node]) -> Option<(CopyForm, bool)> {
    let (mut format, mut header) = ("text".to_owned(), false);
    let (mut delimiter, mut null, mut quote, mut escape) = (None, None, None, None);
    for tree in options.iter().map(Tree::of) {
        let Some(Tree::DefElem(option)) = tree else { return None };
        let value = option.arg.as_deref().and_then(text_of);
        match &*option.defname {
            "format" => format = value?,
            "delimiter" => delimiter = Some(one_byte(&value?)?),
            "quote" => quote = Some(one_byte(&value?)?),
            "escape" => escape = Some(one_byte(&value?)?),
            "null" => null = Some(value?.into_bytes()),
            "header" => header = option.arg.is_none() || is_on(&value?)?,
            // What a field becomes, not what it is.
            "force_quote" | "force_not_null" | "force_null" | "default" => {}
            "freeze" | "encoding" | "on_error" | "reject_limit" | "log_verbosity" => {}
            _ => return None,
        }
    }
    let form = match &*format {
        "text" => CopyForm::Text {
            delimiter: delimiter.unwrap_or(b'\t'),
            null: null.unwrap_or_else(|| b"\\N".to_vec()),
        },
        "csv" => {
            let quote = quote.unwrap_or(b'"');
            CopyForm::Csv {
                delimiter: delimiter.unwrap_or(b','),
                quote,
                escape: escape.unwrap_or(quote),
                null: null.unwrap_or_default(),
            }
        }
        "binary" => CopyForm::Binary,
        _ => return None,
    };
    Some((form, header))
}

fn text_of(node: &Node) -> Option<String> {
    match Tree::of(node)? {
        Tree::String(s) => Some(s.sval.clone()),
        Tree::Boolean(b) => Some(b.boolval.to_string()),
        Tree::Integer(i) => Some(i.ival.to_string()),
        _ => constant(node),
    }
}

fn one_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// As PostgreSQL reads HEADER: a Boolean, or `match`, which is a header too.
fn is_on(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "true" | "on" | "1" | "match" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}
