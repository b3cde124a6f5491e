//! The last look at frames before they leave: what detectors find and nothing explains is masked, or nothing leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::Tripped;
use ledger::{Map, PayloadPlain};
use mask::{Detectors, FilterBuilder, Finding, Known, MaskedBytes, MaskedField, MaskedText, Origin, Shape};
use proto_postgres::errors::{self, Care, Known as Said};
use proto_postgres::frame::{Frame, tag};
use proto_postgres::message::{Format, FromUpstream};
use proto_postgres::reply::{Cell, DataRow, Fields, RowDescription, cell_places};
use vocab::Class;
use wire::RawField;

use super::flight::{Columns, FlushError, Leak, Op, Scene};
use super::text::{self, Behind};
use crate::config::{Reel, Tripwire};

/// Where in the bytes rows of another shape begin.
pub type Marks = Vec<(usize, Option<Arc<Columns>>)>;

/// What a session's last looks have in common.
pub struct Look {
    pub known: Known,
    /// Of what was released since the last record of it.
    pub filter: FilterBuilder,
    places: Places,
    apart: Vec<u8>,
}

impl Look {
    pub fn new(known: Known) -> Look {
        Look { known, filter: FilterBuilder::new(), places: Places::default(), apart: Vec::new() }
    }

    /// Frames as they may leave, and what replay shows of them: `Err` if something remains that nothing explains.
    pub fn at(
        &mut self,
        scene: &Scene<'_>,
        bytes: BytesMut,
        marks: &Marks,
        mut op: Option<&mut Op>,
    ) -> Result<(MaskedBytes, Option<PayloadPlain>), FlushError> {
        let mut hits = Hits::default();
        let detectors = scene.gate.detectors();
        let mut bytes = Vec::from(bytes);
        self.places.find(&bytes, marks);
        let hidden = self.behind(scene, &bytes, op.as_deref_mut())?;
        if hidden {
            let masked = mask_frames(scene, &self.known, bytes, marks, &mut hits)?;
            if let (Tripwire::Cut, Some(hit)) = (scene.tripwire, hits.masked()) {
                return Err(FlushError::Leak(Leak { detector: hit.detector }));
            }
            self.places.find(&masked.0, &masked.1);
            bytes = masked.0;
        }
        let leak = |unmasked: mask::Unmasked| {
            FlushError::Leak(Leak { detector: unmasked.findings.first().map_or("unknown", |f| f.detector) })
        };
        let released = match self.release(detectors, bytes) {
            Ok(released) => released,
            Err(unmasked) if scene.tripwire == Tripwire::Cut || hidden => {
                return Err(leak(unmasked));
            }
            Err(unmasked) => {
                let masked = mask_frames(scene, &self.known, unmasked.bytes, marks, &mut hits)?;
                self.places.find(&masked.0, &masked.1);
                self.release(detectors, masked.0).map_err(leak)?
            }
        };
        let (bytes, explained) = released;
        for (finding, origin) in explained {
            hits.seen.insert(Tripped {
                detector: finding.detector,
                class: finding.class,
                channel: "result",
                act: match origin {
                    Origin::Own => "own",
                    Origin::Echo => "echo",
                    Origin::Revealed => "revealed",
                },
            });
        }
        if let Some(op) = op.as_deref_mut() {
            op.tripwires.extend(hits.seen);
            op.hits += hits.count;
            op.notified |= self.places.notified;
        }
        self.remember(scene, bytes.as_bytes());
        let reel = if scene.reel == Reel::None { None } else { reel(detectors, &bytes, op) };
        Ok((bytes, reel))
    }

    /// Whether detectors find something behind the bytes of cells in binary formats, and nothing explains it. Errors: nobody can look there;
    /// or they do in a COPY in binary format, out of which nothing can be cut; its values enter the filter here.
    fn behind(&mut self, scene: &Scene<'_>, bytes: &[u8], op: Option<&mut Op>) -> Result<bool, FlushError> {
        let detectors = scene.gate.detectors();
        let mut found = Vec::new();
        if let Some(op) = op
            && let Some(copied) = op.copied.as_mut()
        {
            self.apart.clear();
            for (place, _) in self.places.cells.iter().filter(|(_, form)| *form == Form::Copy) {
                let data = bytes.get(place.clone()).unwrap_or_default();
                let (key, types) = (scene.filter_key, scene.types);
                copied.enter(&mut self.filter, key, types, data, &self.known, &mut self.apart);
            }
            detectors.scan_deep(&self.apart, &mut found);
            // Who may do what cannot be known may have it.
            let permitted = op.plan.as_ref().is_some_and(|plan| plan.action().opaque.is_some());
            match found.first() {
                Some(finding) => return Err(FlushError::Leak(Leak { detector: finding.detector })),
                None if copied.blind && !permitted => return Err(BLIND),
                None => {}
            }
        }
        let mut finds = false;
        for (place, form) in &self.places.cells {
            let Form::Binary(type_oid) = form else { continue };
            let value = bytes.get(place.clone()).unwrap_or_default();
            match text::behind(scene.types, *type_oid, value) {
                Behind::Text(text) if !finds => {
                    detectors.scan_deep(&text, &mut found);
                    finds = !found.is_empty();
                }
                Behind::Text(_) | Behind::Nothing => {}
                Behind::Blind => return Err(BLIND),
            }
        }
        Ok(finds)
    }

    /// What leaves enters the filter.
    fn remember(&mut self, scene: &Scene<'_>, bytes: &[u8]) {
        let (filter, key) = (&mut self.filter, scene.filter_key);
        for (place, form) in &self.places.cells {
            let Some(value) = bytes.get(place.clone()) else { continue };
            match form {
                Form::Text => filter.cell(key, value),
                Form::Binary(type_oid) => text::enter(filter, key, scene.types, *type_oid, value),
                Form::Copy => filter.cell(key, value),
                Form::Unknown => {
                    filter.cell(key, value);
                    filter.cannot_say();
                }
            }
        }
    }

    /// Whether a notification was among what was looked at last.
    pub fn notified(&self) -> bool {
        self.places.notified
    }

    fn release(
        &mut self,
        detectors: &Detectors,
        bytes: Vec<u8>,
    ) -> Result<(MaskedBytes, Vec<(mask::Finding, Origin)>), mask::Unmasked> {
        mask::release(detectors, bytes, &self.places.values, &self.known, &mut self.apart)
    }
}

/// A value in binary format that nobody can look into.
const BLIND: FlushError = FlushError::Leak(Leak { detector: "binary-form" });

/// Where values stand in frames, in bytes.
#[derive(Default)]
struct Places {
    /// Of cells, and whole bodies of other frames.
    values: Vec<Range<usize>>,
    /// Of rows, of COPY and of what upstream says in words: what enters a filter.
    cells: Vec<(Range<usize>, Form)>,
    /// There is a notification.
    notified: bool,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// Of the type with this OID.
    Binary(u32),
    /// A piece of a COPY.
    Copy,
    /// Nobody has said.
    Unknown,
}

impl Places {
    /// `marks` say which shape the cells have.
    fn find(&mut self, bytes: &[u8], marks: &Marks) {
        self.values.clear();
        self.cells.clear();
        self.notified = false;
        let mut shapes = Walk::new(marks);
        let mut at = 0;
        while let Some((tag, body)) = frame_at(bytes, at) {
            let columns = shapes.at(at);
            at = body.end;
            match tag {
                tag::DATA_ROW => {
                    let mut end = body.start + 2;
                    for (i, place) in cell_places(&bytes[body.clone()]).enumerate() {
                        let Some(place) = place else {
                            // NULL: nothing, behind its length.
                            end += 4;
                            self.values.push(end..end);
                            continue;
                        };
                        let cell = body.start + place.start..body.start + place.end;
                        end = cell.end;
                        self.values.push(cell.clone());
                        self.cells.push((cell, columns.map_or(Form::Unknown, |columns| columns.form(i))));
                    }
                }
                tag::COPY_DATA => {
                    self.values.push(body.clone());
                    self.cells.push((body, Form::Copy));
                }
                tag::ERROR | tag::NOTICE => {
                    let words = texts(&bytes[body.clone()], body.start).map(|text| text.start + 1..text.end);
                    self.cells.extend(words.filter(|text| !text.is_empty()).map(|text| (text, Form::Text)));
                    self.values.push(body);
                }
                tag::NOTIFICATION => {
                    self.notified = true;
                    // Behind the number of the process that sent it.
                    let said = bytes.get(body.start + 4..body.end).unwrap_or_default();
                    self.cells.extend(texts(said, body.start + 4).map(|text| (text, Form::Text)));
                    self.values.push(body);
                }
                tag::PARAMETER_STATUS => {
                    self.cells.extend(texts(&bytes[body.clone()], body.start).map(|text| (text, Form::Text)));
                    self.values.push(body);
                }
                _ => self.values.push(body),
            }
        }
    }
}

impl Columns {
    fn form(&self, i: usize) -> Form {
        match self.described.columns.get(i) {
            Some(column) if column.format == Format::Binary => Form::Binary(column.type_oid),
            Some(_text) => Form::Text,
            None => Form::Unknown,
        }
    }
}

/// Where the texts of a message stand that each end with a zero; its first byte is at `from`.
fn texts(body: &[u8], from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = from;
    body.split(|b| *b == 0).map(move |text| {
        let start = at;
        at += text.len() + 1;
        start..start + text.len()
    })
}

/// Whether upstream has said something of its own accord among these frames: a notice, a notification, a parameter.
pub fn says(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some((tag, body)) = frame_at(bytes, at) {
        if matches!(tag, tag::NOTICE | tag::NOTIFICATION | tag::PARAMETER_STATUS) {
            return true;
        }
        at = body.end;
    }
    false
}

/// Which columns the rows have, asked for from the first to the last.
struct Walk<'a> {
    marks: &'a [(usize, Option<Arc<Columns>>)],
    columns: Option<&'a Arc<Columns>>,
    passed: usize,
}

impl<'a> Walk<'a> {
    fn new(marks: &'a Marks) -> Walk<'a> {
        Walk { marks, columns: None, passed: 0 }
    }

    /// The columns of a row that begins at `at`.
    fn at(&mut self, at: usize) -> Option<&'a Arc<Columns>> {
        while let Some((_, columns)) = self.marks.get(self.passed).filter(|(from, _)| *from <= at) {
            self.columns = columns.as_ref();
            self.passed += 1;
        }
        self.columns
    }

    /// How many marks lie behind.
    fn passed(&self) -> usize {
        self.passed
    }
}

/// The tag of the frame at `at`, and where its body is.
fn frame_at(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let (tag, rest) = bytes.get(at..)?.split_first()?;
    let length = u32::from_be_bytes(*rest.first_chunk::<4>()?) as usize;
    let end = (at + 1).checked_add(length)?;
    (length >= 4 && end <= bytes.len()).then(|| (*tag, at + 5..end))
}

/// What replay shows: rows, errors, notices and what else a client is told of a result, as it saw them. Of rows that were
/// described before, or to nobody, the first payload says the shape.
fn reel(detectors: &Detectors, released: &MaskedBytes, op: Option<&mut Op>) -> Option<PayloadPlain> {
    let bytes = released.as_bytes();
    let columns = op.as_ref().and_then(|op| op.columns.clone());
    let shape = columns.as_deref();
    let mut fields: Vec<(MaskedText, u32, u16)> = Vec::new();
    let mut rows: Vec<Vec<MaskedField<'_>>> = Vec::new();
    let mut copy: Vec<Range<usize>> = Vec::new();
    let mut said: Vec<(u32, MaskedField<'_>)> = Vec::new();
    let mut at = 0;
    while let Some((tag, body)) = frame_at(bytes, at) {
        at = body.end;
        match tag {
            tag::DATA_ROW => {
                let field =
                    |place: Range<usize>| released.field(body.start + place.start..body.start + place.end);
                let cells = cell_places(&bytes[body.clone()]);
                rows.push(
                    cells.map(|place| place.and_then(field).unwrap_or_else(mask::null_field)).collect(),
                );
            }
            tag::ROW_DESCRIPTION => {
                if let Some(shape) = shape.filter(|shape| *shape.body == bytes[body.clone()]) {
                    fields.clone_from(&shape.fields);
                } else if let Ok(described) = RowDescription::decode(&Bytes::copy_from_slice(&bytes[body])) {
                    fields = super::flight::fields(detectors, &described);
                }
            }
            tag::COPY_DATA => copy.push(body),
            tag::ERROR
            | tag::NOTICE
            | tag::PARAMETER_DESCRIPTION
            | tag::PARAMETER_STATUS
            | tag::NOTIFICATION
            | tag::COPY_IN
            | tag::COPY_OUT => said.extend(released.field(body).map(|field| (u32::from(tag), field))),
            _ => {}
        }
    }
    if let Some(op) = op {
        if let (true, false, false, Some(shape)) = (fields.is_empty(), rows.is_empty(), op.shape_shown, shape)
        {
            fields.clone_from(&shape.fields);
        }
        op.shape_shown |= !fields.is_empty();
    }
    if rows.is_empty() && fields.is_empty() && copy.is_empty() && said.is_empty() {
        return None;
    }
    let mut map = Map::new().put("fields", fields).put("rows", rows);
    if !said.is_empty() {
        map = map.put("said", said);
    }
    let payload = match copy.is_empty() {
        true => PayloadPlain::new("rows", map),
        false => PayloadPlain::new("copy", map.put("data", released.pieces(&copy))),
    };
    // A row with a value above that is counted and filtered like any other; replay does not show it.
    payload.fits().then_some(payload)
}

/// What detectors found: each kind once, and how many were masked.
#[derive(Default)]
struct Hits {
    seen: BTreeSet<Tripped>,
    count: u64,
}

impl Hits {
    fn masked(&self) -> Option<&Tripped> {
        self.seen.iter().find(|hit| hit.act == "masked")
    }
}

/// Frame by frame, cell by cell: what a detector finds and nothing explains is replaced.
fn mask_frames(
    scene: &Scene<'_>,
    known: &Known,
    bytes: Vec<u8>,
    marks: &Marks,
    hits: &mut Hits,
) -> Result<(Vec<u8>, Marks), FlushError> {
    let bytes = Bytes::from(bytes);
    let mut out = BytesMut::with_capacity(bytes.len());
    let (mut shapes, mut moved) = (Walk::new(marks), Marks::new());
    let mut at = 0;
    while let Some((tag, body)) = frame_at(&bytes, at) {
        let columns = shapes.at(at).map(Arc::as_ref);
        let passed = marks.get(moved.len()..shapes.passed()).unwrap_or_default();
        moved.extend(passed.iter().map(|(_, columns)| (out.len(), columns.clone())));
        at = body.end;
        mask_frame(scene, known, Frame { tag, body: bytes.slice(body) }, columns, hits, &mut out)
            .map_err(|_malformed| FlushError::Leak(Leak { detector: "frame" }))?;
    }
    Ok((Vec::from(out), moved))
}

fn mask_frame(
    scene: &Scene<'_>,
    known: &Known,
    frame: Frame,
    columns: Option<&Columns>,
    hits: &mut Hits,
    out: &mut BytesMut,
) -> Result<(), wire::Fault> {
    let detectors = scene.gate.detectors();
    let mut trip = |class: &Class, detector: &'static str, channel: &'static str| {
        hits.count += 1;
        hits.seen.insert(Tripped { detector, class: class.clone(), channel, act: "masked" });
    };
    match frame.tag {
        tag::DATA_ROW => {
            let row = DataRow::decode(&frame.body)?;
            let mut findings = Vec::new();
            let text = [Shape::Text; 1];
            let fallback: Vec<Shape>;
            let shapes: &[Shape] = match columns {
                Some(columns) => &columns.shapes,
                None => {
                    fallback = text.iter().copied().cycle().take(row.columns()).collect();
                    &fallback
                }
            };
            let masked = mask::fields(detectors, row.cells(), shapes, &mut findings);
            let cells: Vec<Option<&[u8]>> = row.cells().collect();
            let behind =
                columns.map_or(BTreeMap::new(), |columns| found_behind(scene, known, columns, &cells));
            if findings.is_empty() && behind.is_empty() {
                return frame.encode(out);
            }
            let mut unexplained: BTreeSet<usize> = findings
                .iter()
                .filter(|f| {
                    let value =
                        cells.get(f.cell).copied().flatten().and_then(|c| c.get(f.finding.range.clone()));
                    value.and_then(|value| known.origin(value)).is_none()
                })
                .map(|f| f.cell)
                .collect();
            for finding in findings.iter().filter(|f| unexplained.contains(&f.cell)) {
                trip(&finding.finding.class, finding.finding.detector, "result");
            }
            behind.values().for_each(|finding| trip(&finding.class, finding.detector, "result"));
            unexplained.extend(behind.keys());
            let mut replaced: Vec<Option<RawField>> =
                masked.cells().map(|cell| cell.map(RawField::copy_from)).collect();
            for cell in behind.keys() {
                replaced[*cell] = None;
            }
            row.rebuild(out, |i, _| match (unexplained.contains(&i), replaced.get(i)) {
                (false, _) => Cell::Keep,
                (true, Some(Some(value))) => Cell::Value(value.clone()),
                (true, _) => Cell::Null,
            })
        }
        tag::ROW_DESCRIPTION => {
            let mut description = RowDescription::decode(&frame.body)?;
            for column in &mut description.columns {
                column.name = masked_raw(detectors, &column.name, "column-name", &mut trip);
            }
            FromUpstream::RowDescription(description).encode(out)
        }
        tag::ERROR | tag::NOTICE => {
            // What is found in a message is not cut out of it: the template takes its place.
            let fields = Fields::decode(&frame.body, "ErrorResponse")?;
            let mut found = Vec::new();
            detectors.scan_deep(&frame.body, &mut found);
            for finding in &found {
                trip(&finding.class, finding.detector, "message");
            }
            let nobody = Said { said: &[], visible: &|_| false };
            let template = errors::sanitise(&fields, &nobody, Care::Template, |_| None);
            match (found.is_empty(), frame.tag) {
                (true, _) => frame.encode(out),
                (false, tag::ERROR) => FromUpstream::Error(template).encode(out),
                (false, _) => FromUpstream::Notice(template).encode(out),
            }
        }
        tag::COPY_DATA => {
            let body = RawField::new(frame.body);
            let masked = masked_raw(detectors, &body, "copy", &mut trip);
            FromUpstream::CopyData(masked).encode(out)
        }
        tag::COMMAND_COMPLETE | tag::NOTIFICATION | tag::PARAMETER_STATUS => {
            // Nothing of the client's belongs into these: what is found here is not repaired, it stays here.
            let mut found = Vec::new();
            detectors.scan_deep(&frame.body, &mut found);
            match found.first() {
                None => frame.encode(out),
                Some(f) => {
                    trip(&f.class, f.detector, "status");
                    Ok(())
                }
            }
        }
        _ => frame.encode(out),
    }
}

/// Of cells in binary formats, what detectors find behind their bytes and nothing explains.
fn found_behind(
    scene: &Scene<'_>,
    known: &Known,
    columns: &Columns,
    cells: &[Option<&[u8]>],
) -> BTreeMap<usize, Finding> {
    let found = |(i, cell): (usize, &Option<&[u8]>)| {
        let (Form::Binary(type_oid), Some(value)) = (columns.form(i), *cell) else { return None };
        let Behind::Text(text) = text::behind(scene.types, type_oid, value) else { return None };
        let mut found = Vec::new();
        scene.gate.detectors().scan_deep(&text, &mut found);
        let explained = |finding: &Finding| {
            known.origin(value).or_else(|| known.origin(text.get(finding.range.clone())?)).is_some()
        };
        Some((i, found.into_iter().find(|finding| !explained(finding))?))
    };
    cells.iter().enumerate().filter_map(found).collect()
}

fn masked_raw(
    detectors: &Detectors,
    raw: &RawField,
    channel: &'static str,
    trip: &mut impl FnMut(&Class, &'static str, &'static str),
) -> RawField {
    let mut findings = Vec::new();
    let shapes = [Shape::Text];
    let row = mask::fields(detectors, [Some(raw.as_bytes())], &shapes, &mut findings);
    for finding in &findings {
        trip(&finding.finding.class, finding.finding.detector, channel);
    }
    match row.cells().next().flatten() {
        Some(bytes) => RawField::copy_from(bytes),
        None => RawField::from_static(b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(types: &[(u32, i16)]) -> Option<Arc<Columns>> {
        let mut body = BytesMut::new();
        body.extend_from_slice(&(types.len() as u16).to_be_bytes());
        for (oid, format) in types {
            body.extend_from_slice(b"c\0");
            body.extend_from_slice(&[0; 6]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0; 6]);
            body.extend_from_slice(&format.to_be_bytes());
        }
        let body = body.freeze();
        let described = RowDescription::decode(&body).unwrap();
        Some(Arc::new(Columns::new(&Detectors::new(), described, body, Vec::new())))
    }

    fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = BytesMut::new();
        DataRow::build(cells.iter().copied()).unwrap().encode(&mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn values_stand_in_cells_and_in_whole_bodies() {
        let status = b"C\0\0\0\x0dSELECT 1\0";
        let bytes = [&row(&[None, Some(b"one"), None, Some(b""), Some(b"two")])[..], status].concat();
        let mut places = Places::default();
        places.find(&bytes, &Marks::new());
        let shown: Vec<&[u8]> = places.values.iter().map(|value| &bytes[value.clone()]).collect();
        assert_eq!(shown, [&b""[..], b"one", b"", b"", b"two", b"SELECT 1\0"]);
        let cells: Vec<&[u8]> = places.cells.iter().map(|(cell, _)| &bytes[cell.clone()]).collect();
        assert_eq!(cells, [&b"one"[..], b"", b"two"]);
        assert!(places.cells.iter().all(|(_, form)| *form == Form::Unknown));
        // Between two of them is never more than what a frame and a length take.
        let mut end = 0;
        for value in &places.values {
            assert!(value.start - end <= 11, "{:?}", places.values);
            end = value.end;
        }
    }

    #[test]
    fn what_upstream_says_in_words_enters_a_filter() {
        let notice = b"N\0\0\0\x18SNOTICE\0Mquebec-77\0\0";
        let notification = b"A\0\0\0\x18\0\0\0\x07orders\0romeo-88\0";
        let bytes = [&notice[..], notification].concat();
        let mut places = Places::default();
        places.find(&bytes, &Marks::new());
        let words: Vec<&[u8]> = places.cells.iter().map(|(cell, _)| &bytes[cell.clone()]).collect();
        assert!(words.contains(&&b"quebec-77"[..]) && words.contains(&&b"romeo-88"[..]), "{words:?}");
        assert!(places.notified && says(&bytes) && !says(b"C\0\0\0\x0dSELECT 1\0"));
    }

    #[test]
    fn a_cell_has_the_form_of_its_own_row() {
        let long = 4_111_111_111_111_111_i64.to_be_bytes();
        let (first, second) = (row(&[Some(&7i64.to_be_bytes())]), row(&[Some(&long)]));
        let marks: Marks = vec![(0, columns(&[(20, 1)])), (first.len(), columns(&[(25, 0)]))];
        let mut places = Places::default();
        places.find(&[first, second].concat(), &marks);
        let forms: Vec<Form> = places.cells.iter().map(|(_, form)| *form).collect();
        assert_eq!(forms, [Form::Binary(20), Form::Text]);
    }
}
