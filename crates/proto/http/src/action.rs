//! What a request does, and to which resource. Spec: RFC 9110, 9.2.1 "Safe Methods".
//!
//! A site is a tree by its paths. The operator may name places in it with routes (`GET /users/{id}/orders`), so that a
//! rule is about `users/{id}/orders` and not about each user's. A path without a route is its own segments.

use crate::limits::*;
use crate::message::Method;
use std::cmp::Ordering;
use std::fmt;
use vocab::{ResourcePath, Verb};

/// The verb of a method; `None` for one that is refused whatever policy says: TRACE echoes credentials, CONNECT is a
/// tunnel, and what another method does cannot be known.
pub fn verb(method: &Method) -> Option<Verb> {
    match method {
        Method::Get | Method::Head | Method::Options => Some(Verb::Read),
        Method::Post | Method::Put | Method::Patch | Method::Delete => Some(Verb::Write),
        Method::Trace | Method::Connect | Method::Other(_) => None,
    }
}

/// The kind of request, for records; `None` as [`verb`].
pub fn kind(method: &Method) -> Option<&'static str> {
    match method {
        Method::Get => Some("GET"),
        Method::Head => Some("HEAD"),
        Method::Options => Some("OPTIONS"),
        Method::Post => Some("POST"),
        Method::Put => Some("PUT"),
        Method::Patch => Some("PATCH"),
        Method::Delete => Some("DELETE"),
        Method::Trace | Method::Connect | Method::Other(_) => None,
    }
}

/// A template of paths, for one method or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    method: Option<Method>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `{name}`: any one segment.
    One(String),
    /// `{name...}`: the rest, at least one segment. Last only.
    Rest(String),
}

/// As it was written, but for white space.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = self.method.as_ref().and_then(kind) {
            write!(f, "{method} ")?;
        }
        if self.pieces.is_empty() {
            return f.write_str("/");
        }
        self.pieces.iter().try_for_each(|piece| write!(f, "/{}", piece.written()))
    }
}

impl Route {
    /// Reads `/users/{id}/orders`, `GET /users/{id}` or `/files/{path...}`. Literal segments are compared with decoded
    /// ones and have no escapes. HEAD is not GET. Errors: a sentence for whoever wrote it.
    pub fn parse(text: &str) -> Result<Route, &'static str> {
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (Some(known_method(method)?), path.trim_start()),
            None => (None, text),
        };
        let inside = path.strip_prefix('/').ok_or("a route's path must begin with a slash")?;
        if inside.is_empty() {
            return Ok(Route { method, pieces: Vec::new() });
        }
        let pieces: Vec<Piece> = inside.split('/').map(Piece::parse).collect::<Result<_, _>>()?;
        check_pieces(&pieces)?;
        Ok(Route { method, pieces })
    }

    /// The resource: each segment of the template under `root`, a placeholder as it is written.
    pub fn path(&self, root: &ResourcePath) -> ResourcePath {
        self.pieces.iter().fold(root.clone(), |path, piece| path.join(&piece.written()))
    }

    fn values<'a>(&'a self, segments: &'a [String]) -> Vec<(&'a str, Vec<&'a str>)> {
        let named = self.pieces.iter().enumerate().filter_map(|(at, piece)| {
            let from = segments.get(at..).unwrap_or_default().iter().map(String::as_str);
            match piece {
                Piece::Literal(_) => None,
                Piece::One(name) => Some((name.as_str(), from.take(1).collect())),
                Piece::Rest(name) => Some((name.as_str(), from.collect())),
            }
        });
        named.collect()
    }

    fn matches(&self, method: &Method, segments: &[String]) -> bool {
        let long_enough = match self.pieces.last() {
            Some(Piece::Rest(_)) => segments.len() >= self.pieces.len(),
            _ => segments.len() == self.pieces.len(),
        };
        let each = || self.pieces.iter().zip(segments).all(|(piece, segment)| piece.matches(segment));
        self.method.as_ref().is_none_or(|own| own == method) && long_enough && each()
    }

    /// The more literal first, from the left; then one with a method before one without.
    fn precedes(&self, other: &Route) -> Ordering {
        let ranks = |route: &Route| route.pieces.iter().map(Piece::rank).collect::<Vec<u8>>();
        ranks(self).cmp(&ranks(other)).then(self.method.is_none().cmp(&other.method.is_none()))
    }

    fn same_but_for_names(&self, other: &Route) -> bool {
        let pairs = || self.pieces.iter().zip(&other.pieces);
        self.method == other.method
            && self.pieces.len() == other.pieces.len()
            && pairs().all(|(one, two)| one.same_but_for_names(two))
    }
}

impl Piece {
    fn parse(text: &str) -> Result<Piece, &'static str> {
        let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return Piece::literal(text);
        };
        let (name, rest) = match name.strip_suffix("...") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err("a placeholder's name must be letters, digits, `_` and `-`");
        }
        Ok(if rest { Piece::Rest(name.to_owned()) } else { Piece::One(name.to_owned()) })
    }

    fn literal(text: &str) -> Result<Piece, &'static str> {
        if text.is_empty() || matches!(text, "." | "..") {
            return Err(
                "a route must not have an empty segment, `.` or `..`: no path that is let in has one",
            );
        }
        if text.contains(['{', '}', '%', '?', '#', '\\', '*']) || text.chars().any(char::is_control) {
            return Err(
                "a route's segment is a literal without escapes, `{name}`, or at the end `{name...}`",
            );
        }
        Ok(Piece::Literal(text.to_owned()))
    }

    fn written(&self) -> String {
        match self {
            Piece::Literal(text) => text.clone(),
            Piece::One(name) => format!("{{{name}}}"),
            Piece::Rest(name) => format!("{{{name}...}}"),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Piece::Literal(_) => None,
            Piece::One(name) | Piece::Rest(name) => Some(name),
        }
    }

    fn matches(&self, segment: &str) -> bool {
        match self {
            Piece::Literal(text) => text == segment,
            Piece::One(_) | Piece::Rest(_) => true,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Piece::Literal(_) => 0,
            Piece::One(_) => 1,
            Piece::Rest(_) => 2,
        }
    }

    fn same_but_for_names(&self, other: &Piece) -> bool {
        match (self, other) {
            (Piece::Literal(one), Piece::Literal(two)) => one == two,
            _ => self.rank() == other.rank(),
        }
    }
}

/// The routes of a site.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

/// The route that a request took, and the segments that its placeholders stand for: one each, or the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<'a> {
    pub route: &'a Route,
    pub values: Vec<(&'a str, Vec<&'a str>)>,
}

impl Routes {
    /// Errors: two routes that are the same but for the names of placeholders; more than [`ROUTES_MAX`].
    pub fn new(mut routes: Vec<Route>) -> Result<Routes, &'static str> {
        if routes.len() > ROUTES_MAX {
            return Err("a site has more than 1024 routes");
        }
        routes.sort_by(Route::precedes);
        for (at, route) in routes.iter().enumerate() {
            if routes.iter().skip(at + 1).any(|other| route.same_but_for_names(other)) {
                return Err("two routes are the same but for the names of their placeholders");
            }
        }
        Ok(Routes(routes))
    }

    /// Each route, as [`Display`](fmt::Display) writes it.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The most literal route that matches: at the first segment in which two differ, a literal goes before `{name}`
    /// and that before `{name...}`; of two equal ones, that with a method. At most one route fits so. A trailing slash
    /// of the path is not looked at.
    pub fn find<'a>(&'a self, method: &Method, segments: &'a [String]) -> Option<Match<'a>> {
        let route = self.0.iter().find(|route| route.matches(method, segments))?;
        Some(Match { route, values: route.values(segments) })
    }
}

/// The resource of a request: its route's, or without one each segment under `root`. A brace in a segment is written as
/// its escape, so that no path can be taken for a route.
pub fn path_of(root: &ResourcePath, found: Option<&Match<'_>>, segments: &[String]) -> ResourcePath {
    match found {
        Some(found) => found.route.path(root),
        None => segments.iter().fold(root.clone(), |path, segment| path.join(&without_braces(segment))),
    }
}

fn without_braces(segment: &str) -> String {
    segment.replace('{', "%7B").replace('}', "%7D")
}

fn known_method(word: &str) -> Result<Method, &'static str> {
    let method = Method::parse(&wire::RawField::copy_from(word.as_bytes()));
    match verb(&method) {
        Some(_) => Ok(method),
        None => Err("a route's method must be GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE"),
    }
}

fn check_pieces(pieces: &[Piece]) -> Result<(), &'static str> {
    if pieces.len() > ROUTE_SEGMENTS_MAX {
        return Err("a route has more than 32 segments");
    }
    if pieces.iter().rev().skip(1).any(|piece| matches!(piece, Piece::Rest(_))) {
        return Err("`{name...}` must be the last segment");
    }
    let names: Vec<&str> = pieces.iter().filter_map(Piece::name).collect();
    let twice = names.iter().enumerate().any(|(at, name)| names.iter().skip(at + 1).any(|n| n == name));
    if twice { Err("a route has two placeholders of one name") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<String> {
        path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }

    fn routes(texts: &[&str]) -> Routes {
        Routes::new(texts.iter().map(|text| Route::parse(text).unwrap()).collect()).unwrap()
    }

    fn found(routes: &Routes, method: Method, path: &str) -> String {
        let segments = segments(path);
        let found = routes.find(&method, &segments);
        path_of(&ResourcePath::root("site"), found.as_ref(), &segments).to_string()
    }

    #[test]
    fn the_most_literal_route_is_taken_whatever_the_order() {
        let texts = [
            "/{any...}",
            "/users/{id}",
            "GET /users/{who}",
            "/users/me",
            "/users/{id}/orders",
            "/users/me/{x...}",
        ];
        let turned: Vec<&str> = texts.iter().rev().copied().collect();
        for routes in [routes(&texts), routes(&turned)] {
            let get = |path| found(&routes, Method::Get, path);
            assert_eq!(get("/users/me"), "site/users/me");
            assert_eq!(get("/users/5"), "site/users/{who}");
            assert_eq!(found(&routes, Method::Post, "/users/5"), "site/users/{id}");
            assert_eq!(get("/users/5/orders"), "site/users/{id}/orders");
            assert_eq!(get("/users/me/orders"), "site/users/me/{x...}");
            assert_eq!(get("/users/5/orders/7"), "site/{any...}");
            assert_eq!(get("/"), "site");
        }
    }

    #[test]
    fn placeholders_stand_for_their_segments() {
        let routes = routes(&["/r/{owner}/{path...}"]);
        let path = segments("/r/ann/a/b");
        let found = routes.find(&Method::Put, &path).unwrap();
        assert_eq!(found.values, [("owner", vec!["ann"]), ("path", vec!["a", "b"])]);
        assert_eq!(routes.find(&Method::Put, &segments("/r/ann")), None);
    }

    #[test]
    fn a_path_without_a_route_is_its_segments_and_never_a_route() {
        let routes = routes(&["GET /users/{id}"]);
        assert_eq!(found(&routes, Method::Post, "/users/{id}"), "site/users/%257Bid%257D");
        assert_eq!(found(&routes, Method::Get, "/a b/c"), "site/a b/c");
    }

    #[test]
    fn routes_that_differ_in_names_only_are_refused() {
        let two =
            |one: &str, two: &str| Routes::new(vec![Route::parse(one).unwrap(), Route::parse(two).unwrap()]);
        assert!(two("/a/{x}", "/a/{y}").is_err());
        assert!(two("GET /a/{x...}", "GET /a/{y...}").is_err());
        assert!(two("GET /a/{x}", "/a/{y}").is_ok());
        assert!(two("/a/{x}", "/b/{x}").is_ok());
    }

    #[test]
    fn the_number_of_routes_is_limited() {
        let many = |count: usize| (0..count).map(|n| Route::parse(&format!("/{n}")).unwrap()).collect();
        assert!(Routes::new(many(ROUTES_MAX)).is_ok());
        assert!(Routes::new(many(ROUTES_MAX + 1)).is_err());
    }

    #[test]
    fn what_is_no_route_is_refused() {
        let long = "/a".repeat(ROUTE_SEGMENTS_MAX + 1);
        let bad = [
            "",
            "users",
            "/a//b",
            "/a/",
            "/a/..",
            "/{}",
            "/{a b}",
            "/x{id}",
            "/{id}x",
            "/{a...}/b",
            "/{a}/{a}",
            "/a%20",
            "TRACE /a",
            "get /a",
            "FETCH /a",
            "/*",
            "/a?b",
            &long,
        ];
        for text in bad {
            assert!(Route::parse(text).is_err(), "{text}");
        }
        assert!(Route::parse(&"/a".repeat(ROUTE_SEGMENTS_MAX)).is_ok());
        assert!(Route::parse("/").is_ok());
    }

    #[test]
    fn only_known_methods_have_a_verb_and_a_kind() {
        let other = Method::Other(wire::RawField::from_static(b"PURGE"));
        for method in [Method::Trace, Method::Connect, other] {
            assert_eq!((verb(&method), kind(&method)), (None, None));
        }
        assert_eq!((verb(&Method::Head), kind(&Method::Head)), (Some(Verb::Read), Some("HEAD")));
        assert_eq!((verb(&Method::Delete), kind(&Method::Delete)), (Some(Verb::Write), Some("DELETE")));
    }
}
