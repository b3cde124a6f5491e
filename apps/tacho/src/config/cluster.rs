//! A Kubernetes cluster (`kind = "kubernetes"`): a service over HTTP, of which it is known where secrets stand.

use std::collections::BTreeSet;

use relay::config::{ClusterService, Impersonate};
use vocab::Class;

use super::raw::{RawImpersonate, RawMask};
use super::resolve::Resolver;
use super::service::PathMask;

/// What a cluster holds that is masked where a mask names its class and no path.
const CLASSES: [&str; 2] = ["config.kubernetes", "config.env"];

impl Resolver<'_> {
    /// The operator's own places, and what is particular about a cluster.
    pub(super) fn cluster(
        &mut self,
        place: &str,
        raw: Vec<RawMask<'_>>,
        impersonate: Option<RawImpersonate<'_>>,
    ) -> (Vec<PathMask>, ClusterService) {
        let (of_places, of_classes): (Vec<_>, Vec<_>) =
            raw.into_iter().partition(|mask| mask.path.is_some() || mask.column.is_some());
        let mut also = BTreeSet::new();
        for mask in of_classes {
            let Some(class) = mask.class else { continue };
            match Class::new(class.value).filter(|class| CLASSES.contains(&class.as_str())) {
                Some(known) => {
                    also.insert(known);
                }
                None => self.problems.at(
                    &class.span,
                    format!(
                        "a mask of {place}: without a `path`, class is \"config.kubernetes\" (values of config maps) or \
                         \"config.env\" (of variables); secrets and tokens are masked anyway"
                    ),
                ),
            }
            if let Some(kind) = mask.kind {
                self.problems.at(&kind.span, format!("a mask of {place}: `as` goes with a `path`"));
            }
        }
        let impersonate = impersonate.and_then(|raw| self.impersonate(place, raw));
        (self.path_masks(place, of_places), ClusterService { also, impersonate })
    }

    fn impersonate(&mut self, place: &str, raw: RawImpersonate<'_>) -> Option<Impersonate> {
        let user = raw.user?;
        let mut good = true;
        for name in std::iter::once(&user).chain(&raw.groups) {
            let plain = !name.value.is_empty()
                && name.value.len() <= 253
                && name.value.bytes().all(|b| b.is_ascii_graphic());
            if !plain {
                good = false;
                let what = "a user or group of `impersonate` is a name without blanks, of at most 253 bytes";
                self.problems.at(&name.span, format!("{place}: {what}"));
            }
        }
        let groups = raw.groups.iter().map(|group| group.value.to_owned()).collect();
        good.then(|| Impersonate { user: user.value.to_owned(), groups })
    }
}
