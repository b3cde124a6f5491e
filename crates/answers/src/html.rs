//! A small writer of HTML in which text cannot become markup.
//!
//! Tags, attribute names and classes are constants; everything else goes through [`Html::text`], which makes hidden
//! characters visible and escapes the five characters that matter. Used by the report and by the console's pages.

use std::fmt;

pub use crate::style::STYLE;
use crate::text::{visible, visible_block, visible_name};

/// HTML under construction.
#[derive(Clone, Debug, Default)]
pub struct Html {
    out: String,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub struct Attr(String);

impl Attr {
    pub fn new(value: impl fmt::Display) -> Attr {
        Attr(escape(&visible(&value.to_string())))
    }
}

impl Html {
    pub fn new() -> Html {
        Html::default()
    }

    /// Markup that is in the source of this program.
    pub fn constant(&mut self, markup: &'static str) {
        self.out.push_str(markup);
    }

    /// Text of any origin, on one line.
    pub fn text(&mut self, text: &str) {
        self.out.push_str(&escape(&visible(text)));
    }

    /// Text of any origin, on one line that may be broken after a slash.
    fn path(&mut self, text: &str) {
        for part in text.split_inclusive('/') {
            self.text(part);
            if part.ends_with('/') {
                self.constant("<wbr>");
            }
        }
    }

    /// Text of any origin whose line feeds and tabs stay.
    pub fn block(&mut self, text: &str) {
        self.out.push_str(&escape(&visible_block(text)));
    }

    /// `<tag class="class">...</tag>`.
    pub fn tag(&mut self, tag: &'static str, class: &'static str, inner: impl FnOnce(&mut Html)) {
        self.open(tag, class, &[]);
        inner(self);
        self.close(tag);
    }

    /// A tag with attributes.
    pub fn tag_with(
        &mut self,
        tag: &'static str,
        class: &'static str,
        attributes: &[(&'static str, Attr)],
        inner: impl FnOnce(&mut Html),
    ) {
        self.open(tag, class, attributes);
        inner(self);
        self.close(tag);
    }

    /// A tag that has no end, such as `input`.
    pub fn open(&mut self, tag: &'static str, class: &'static str, attributes: &[(&'static str, Attr)]) {
        self.out.push('<');
        self.out.push_str(tag);
        if !class.is_empty() {
            self.out.push_str(" class=\"");
            self.out.push_str(class);
            self.out.push('"');
        }
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            self.out.push_str(&value.0);
            self.out.push('"');
        }
        self.out.push('>');
    }

    /// `<tag class="class">text</tag>`.
    pub fn leaf(&mut self, tag: &'static str, class: &'static str, text: &str) {
        self.tag(tag, class, |html| html.text(text));
    }

    /// A table of text cells; the cells whose column is in `code` are set in a fixed width.
    pub fn table(&mut self, headers: &[&'static str], code: &[usize], rows: &[Vec<String>]) {
        self.tag("table", "", |html| {
            if headers.iter().any(|header| !header.is_empty()) {
                html.tag("thead", "", |html| {
                    html.tag("tr", "", |html| headers.iter().for_each(|h| html.leaf("th", "", h)));
                });
            }
            html.tag("tbody", "", |html| {
                for row in rows {
                    html.tag("tr", "", |html| {
                        for (n, cell) in row.iter().enumerate() {
                            match code.contains(&n) {
                                true => html.tag("td", "code", |html| html.path(&visible_name(cell))),
                                false => html.leaf("td", "", &visible_name(cell)),
                            }
                        }
                    });
                }
            });
        });
    }

    pub fn finish(self) -> String {
        self.out
    }

    fn close(&mut self, tag: &'static str) {
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push_str(">\n");
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_origin_cannot_become_markup() {
        let mut html = Html::new();
        let hostile = "</p><script>alert('x')</script>\" onload=\"\u{202e}&amp;";
        html.tag_with("p", "a", &[("title", Attr::new(hostile))], |html| html.text(hostile));
        let escaped =
            "&lt;/p&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;\\u{202e}&amp;amp;";
        assert_eq!(html.finish(), format!("<p class=\"a\" title=\"{escaped}\">{escaped}</p>\n"));
    }
}
