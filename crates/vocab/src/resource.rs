//! What is behind the gateway, as a tree.

use std::fmt;
use std::sync::Arc;

/// A path in the resource tree: `crm/crm/public/customers/ssn` (resource, database, schema, table, column).
/// Segments are joined by `/`; a `/` or `%` inside a segment is written `%2F` or `%25`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePath(Arc<str>);

impl ResourcePath {
    /// The root of one resource: its configured name.
    pub fn root(name: &str) -> ResourcePath {
        ResourcePath(escape(name).into())
    }

    pub fn join(&self, segment: &str) -> ResourcePath {
        ResourcePath(format!("{}/{}", self.0, escape(segment)).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, unescaped, root first.
    pub fn segments(&self) -> impl Iterator<Item = String> {
        self.0.split('/').map(|s| s.replace("%2F", "/").replace("%25", "%"))
    }

    /// This path's ancestors as text, nearest first, without itself.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            rest = &rest[..rest.rfind('/')?];
            Some(rest)
        })
    }

    /// Reads a path as written in a record. `None` if a segment is empty.
    pub fn parse(text: &str) -> Option<ResourcePath> {
        (!text.split('/').any(str::is_empty)).then(|| ResourcePath(text.into()))
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn escape(segment: &str) -> String {
    segment.replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_in_a_name_stays_one_segment() {
        let path = ResourcePath::root("crm").join("a/b").join("50%");
        assert_eq!(path.as_str(), "crm/a%2Fb/50%25");
        assert_eq!(path.segments().collect::<Vec<_>>(), ["crm", "a/b", "50%"]);
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["crm/a%2Fb", "crm"]);
    }
}
