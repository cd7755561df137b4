//! The module rules, read from the sources. Between crates Cargo.toml has them.
//!
//! A rule may refer to a folder or file that does not exist yet; one that is misspelled is found by
//! [`every_rule_refers_to_something_known`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use syn::visit::{self, Visit};
use syn::{
    Attribute, ImplItemFn, Item, ItemEnum, ItemMod, ItemStruct, ItemTrait, ItemType, ItemUse, Macro, Meta,
    UseTree, Visibility,
};

/// Modules of the root package in the order in which they may use each other: each may use those above it, and itself.
const ORDER: &[&str] = &[
    "metrics",
    "notify",
    "vault",
    "kube_ext",
    "policies",
    "sharers",
    "sharing",
    "publishing",
    "secret_plan",
    "grant",
    "discovered",
    "kinds",
    "world",
    "context",
    "following",
    "members",
    "connection",
    "provider",
    "workspace",
    "share",
    "binding",
    "operator",
    "catalog_command",
    "gate",
    "ready_command",
    "cli",
];

/// Crates that use no more than these modules of another, in tests, too.
const NARROW: &[(&str, &str, &[&str])] = &[
    // It never sees a provider's token, and a webhook has none.
    ("bowline_portal", "bowline_oauth", &["catalog", "http", "network", "request", "webhook"]),
    // It works for one person, who waits: it follows nothing and keeps no log.
    ("kubectl_bowline", "bowline_runtime", &["clock", "kubeconfig"]),
];

/// Controllers: siblings, and nobody uses another's insides.
const CONTROLLERS: &[&str] = &["connection", "provider", "workspace", "share", "binding"];

/// Pure code: no I/O and no clock, wherever the file is.
const PURE: &[&str] = &[
    "crates/bowline-api/src/",
    "crates/bowline-oauth/src/catalog/",
    "crates/bowline-oauth/src/classify.rs",
    "src/vault/seal.rs",
];
const PURE_NAMES: &[&str] = &["decide.rs", "build.rs", "report.rs"];

/// Serves one person, who waits.
const PLUGIN: &str = "crates/kubectl-bowline/";

/// Modules of one folder that use each other in circles. Add none; remove those that are fixed.
const CIRCLES: &[(&str, &[&str])] = &[];

/// Type names that are defined in more than one place, and why. The list only shrinks: remove what is unique.
const SHARED_NAMES: &[(&str, &[&str])] = &[("each program has its own", &["Cli", "Command"])];

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 40;
/// Begins the comment before a longer function, which gives the reason why the function is better that long.
const LONG: &str = "// long:";

struct Source {
    /// Path under the root, with `/`.
    path: String,
    /// Its place: crate and modules.
    module: Vec<String>,
    /// Without unit tests.
    text: String,
    /// What the names that it imports refer to.
    imports: BTreeMap<String, Vec<String>>,
    /// Every path that it uses, starting at the crate if that is known. Without unit tests.
    used: Vec<Vec<String>>,
    /// Names of the types that it defines. Without unit tests, associated types and what macros expand to.
    types: Vec<String>,
    /// Modules in files of their own that are compiled only for tests.
    test_modules: Vec<Vec<String>>,
}

impl Source {
    /// The module at the root of its crate.
    fn top(&self) -> Option<&str> {
        self.module.get(1).map(String::as_str)
    }

    fn uses(&self, word: &str) -> bool {
        self.used.iter().any(|path| format!("::{}::", path.join("::")).contains(&format!("::{word}::")))
    }
}

/// Reads what a file uses.
#[derive(Default)]
struct Reader {
    module: Vec<String>,
    /// Whether it reads tests and their helpers, too.
    with_tests: bool,
    imports: BTreeMap<String, Vec<String>>,
    paths: Vec<Vec<String>>,
    types: Vec<String>,
    test_modules: Vec<Vec<String>>,
}

impl Reader {
    /// What the file of this module uses and defines.
    fn read(module: &[String], file: &syn::File) -> Self {
        Self { module: module.to_vec(), ..Self::default() }.finish(file)
    }

    fn read_with_tests(module: &[String], file: &syn::File) -> Self {
        Self { module: module.to_vec(), with_tests: true, ..Self::default() }.finish(file)
    }

    fn finish(self, file: &syn::File) -> Self {
        let mut reader = self;
        reader.visit_file(file);
        let imported = |path: Vec<String>| match reader.imports.get(&path[0]) {
            Some(import) => [import, &path[1..]].concat(),
            None => path,
        };
        let mut paths: Vec<_> = std::mem::take(&mut reader.paths).into_iter().map(imported).collect();
        paths.extend(reader.imports.values().cloned());
        Self { paths, ..reader }
    }

    /// The path starting at the crate, if the first word shows it.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|word| *word == "super").count();
        let rest = path.iter().skip(ups.max(1));
        match path[0].as_str() {
            "crate" => self.module[..1].iter().chain(rest).cloned().collect(),
            "self" => self.module.iter().chain(rest).cloned().collect(),
            "super" => {
                let above = self.module.len().saturating_sub(ups).max(1);
                self.module[..above].iter().chain(rest).cloned().collect()
            }
            _ => path,
        }
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        match tree {
            UseTree::Path(path) => {
                self.import(&path.tree, &[before, &[path.ident.to_string()]].concat());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
            UseTree::Name(name) if name.ident == "self" => {
                self.name(before.last().unwrap().clone(), before.to_vec());
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.name(name.clone(), [before, &[name]].concat());
            }
            UseTree::Rename(rename) => {
                let path = [before, &[rename.ident.to_string()]].concat();
                // `as _`: this gives no name.
                let name = if rename.rename == "_" { path.join("::") } else { rename.rename.to_string() };
                self.name(name, path);
            }
            UseTree::Glob(_) => {
                self.name(format!("{}::*", before.join("::")), [before, &["*".to_owned()]].concat());
            }
        }
    }

    fn name(&mut self, name: String, path: Vec<String>) {
        let path = self.absolute(path);
        self.imports.insert(name, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(&attribute.meta, Meta::List(list)
            if list.path.is_ident("cfg") && list.tokens.to_string().contains("test"))
    })
}

impl Visit<'_> for Reader {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Const(it) => &it.attrs,
            Item::Enum(it) => &it.attrs,
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Static(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Trait(it) => &it.attrs,
            Item::Type(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !self.with_tests && is_for_tests(attributes) {
            if let Item::Mod(ItemMod { ident, content: None, .. }) = item {
                self.test_modules.push([&self.module[..], &[ident.to_string()]].concat());
            }
            return;
        }
        match item {
            Item::Enum(ItemEnum { ident, .. })
            | Item::Struct(ItemStruct { ident, .. })
            | Item::Trait(ItemTrait { ident, .. })
            | Item::Type(ItemType { ident, .. }) => self.types.push(ident.to_string()),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        if self.with_tests || !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let words = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let words = self.absolute(words);
        self.paths.push(words);
        visit::visit_path(self, path);
    }

    // Inside a macro's brackets there are only words, not paths.
    fn visit_macro(&mut self, call: &Macro) {
        let text = call.tokens.to_string().replace(" :: ", "::");
        for path in text.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c))) {
            let words: Vec<_> =
                path.split("::").filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
            if words.len() > 1 {
                let words = self.absolute(words);
                self.paths.push(words);
            }
        }
        visit::visit_macro(self, call);
    }

    /// Where something is visible is not a use of it.
    fn visit_visibility(&mut self, _: &Visibility) {}
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file that contains only tests or fixtures.
fn is_test_file(path: &str) -> bool {
    let stem = path.rsplit('/').next().unwrap().trim_end_matches(".rs");
    path.contains("/tests/")
        || path.contains("/fixtures/")
        || stem.ends_with("tests")
        || stem.ends_with("fixtures")
}

/// The crates that are checked: the root package, and all under crates/.
fn crates() -> Vec<PathBuf> {
    let members = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut crates: Vec<_> = members.filter(|folder| folder.join("src").is_dir()).collect();
    crates.sort();
    crates.insert(0, root().to_owned());
    crates
}

/// All of them, read once.
fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let all: Vec<_> = crates().iter().flat_map(|folder| sources_of(folder)).collect();
        let for_tests: Vec<_> = all.iter().flat_map(|source| source.test_modules.clone()).collect();
        let is_shipped = |source: &Source| !for_tests.iter().any(|module| source.module.starts_with(module));
        all.into_iter().filter(is_shipped).collect()
    });
    &SOURCES
}

fn sources_of(folder: &Path) -> Vec<Source> {
    let src = folder.join("src");
    let name = if folder == root() { "bowline" } else { folder.file_name().unwrap().to_str().unwrap() };
    let package = name.replace('-', "_");
    files(&src)
        .into_iter()
        .map(|file| (slashed(file.strip_prefix(root()).unwrap()), file))
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, file)| {
            let whole = fs::read_to_string(&file).unwrap();
            let text = whole.split("\n#[cfg(test)]").next().unwrap().to_owned();
            let within = slashed(file.strip_prefix(&src).unwrap());
            let within = within.trim_end_matches(".rs").trim_end_matches("/mod");
            let modules = within.split('/').filter(|name| *name != "lib").map(ToOwned::to_owned);
            let module: Vec<_> = [package.clone()].into_iter().chain(modules).collect();
            let file = syn::parse_file(&whole).unwrap_or_else(|error| panic!("{path}: {error}"));
            let Reader { imports, paths: used, types, test_modules, .. } = Reader::read(&module, &file);
            Source { path, module, text, imports, used, types, test_modules }
        })
        .collect()
}

fn slashed(path: &Path) -> String {
    path.to_str().unwrap().replace('\\', "/")
}

fn none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}:\n  {}", problems.join("\n  "));
}

fn using(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    sources()
        .iter()
        .filter(|source| !allowed(&source.path))
        .flat_map(|source| {
            let used = words.iter().filter(|word| source.uses(word));
            used.map(|word| format!("{} uses {word}", source.path)).collect::<Vec<_>>()
        })
        .collect()
}

/// All sources by their modules.
type House = BTreeMap<&'static [String], &'static Source>;

fn house() -> House {
    sources().iter().map(|source| (source.module.as_slice(), source)).collect()
}

/// The module that contains the target of a path in `source`, following imports, if it is in the same crate.
fn target(house: &House, source: &Source, path: &[String]) -> Option<Vec<String>> {
    let mut path = path.to_vec();
    // A module may name its submodules directly.
    if house.contains_key([source.module.as_slice(), &path[..1]].concat().as_slice()) {
        path = [source.module.as_slice(), &path].concat();
    }
    // An import leads to another import at most this often.
    for _ in 0..8 {
        if path[0] != source.module[0] {
            return None;
        }
        let deepest = (1..=path.len()).rev().find(|depth| house.contains_key(&path[..*depth]))?;
        let (module, rest) = path.split_at(deepest);
        match rest.first().and_then(|name| house[module].imports.get(name)) {
            Some(import) => path = [import, &rest[1..]].concat(),
            None => return Some(module.to_vec()),
        }
    }
    None
}

/// Modules at the root of its crate that a source uses.
fn tops(house: &House, source: &Source) -> BTreeSet<String> {
    let targets = source.used.iter().filter_map(|path| target(house, source, path));
    targets.filter_map(|module| module.get(1).cloned()).collect()
}

/// The sources of the root package, except its binary, which may use everything.
fn operator_sources(house: &House) -> impl Iterator<Item = (&'static str, &'static Source)> {
    let own = house.values().copied().filter(|source| source.module[0] == "bowline");
    own.filter_map(|source| Some((source.top()?, source))).filter(|(top, _)| *top != "main")
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_rule_refers_to_something_known() {
    let house = house();
    let strangers: Vec<_> = operator_sources(&house)
        .filter(|(top, _)| !ORDER.contains(top))
        .map(|(_, source)| format!("{}: give its module a place in ORDER", source.path))
        .collect();
    none(&strangers, "each module has its place");
    for module in CONTROLLERS {
        assert!(ORDER.contains(module), "{module} is misspelled");
    }
    for pure in PURE {
        assert!(root().join(pure).exists(), "{pure} is misspelled");
    }
}

#[test]
fn arrows_go_one_way() {
    let house = house();
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut problems = Vec::new();
    for (from, source) in operator_sources(&house) {
        for to in tops(&house, source).into_iter().filter(|to| to != from) {
            if place(&to) >= place(from) {
                problems.push(format!("{} uses {to}", source.path));
            }
        }
    }
    none(&problems, "a module uses only those before it");
}

/// Modules of the crate `of` that a crate uses, its tests and their helpers included, and where.
fn modules_used(by: &str, of: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let package = [by.to_owned()];
    for file in files(&root().join("crates").join(by.replace('_', "-"))) {
        let path = slashed(file.strip_prefix(root()).unwrap());
        let file = syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap();
        for words in Reader::read_with_tests(&package, &file).paths {
            if let [name, module, ..] = &words[..]
                && name == of
            {
                found.entry(module.clone()).or_default().push(path.clone());
            }
        }
    }
    found
}

#[test]
fn a_narrow_crate_uses_only_its_modules_of_another() {
    for (by, of, allowed) in NARROW {
        let mut found = modules_used(by, of);
        let unused: Vec<_> = allowed.iter().filter(|module| found.remove(**module).is_none()).collect();
        assert!(unused.is_empty(), "{by} does not use {unused:?} of {of}: take them out of NARROW");
        let more = found.iter().map(|(module, paths)| format!("{of}::{module}: {}", paths.join(", ")));
        none(&more.collect::<Vec<_>>(), &format!("{by} uses of {of} what NARROW names"));
    }
}

#[test]
fn nobody_uses_a_controllers_insides() {
    let house = house();
    let problems: Vec<_> = operator_sources(&house)
        .filter(|(from, _)| *from != "operator")
        .flat_map(|(from, source)| {
            let used = tops(&house, source).into_iter();
            let others = used.filter(|to| CONTROLLERS.contains(&to.as_str()) && to != from);
            others.map(|to| format!("{} uses {to}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    none(&problems, "controllers are used by operator alone");
}

/// Which modules of each folder use which. What is in the folder's own file belongs to all of them.
fn neighbours(house: &House) -> BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> {
    let mut folders: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
    for source in house.values() {
        for to in source.used.iter().filter_map(|path| target(house, source, path)) {
            let from = &source.module;
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if let (Some(user), Some(used)) = (from.get(shared), to.get(shared)) {
                let folder = folders.entry(from[..shared].to_vec()).or_default();
                folder.entry(user.clone()).or_default().insert(used.clone());
            }
        }
    }
    folders
}

/// Groups of modules that all lead to each other.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reached = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(next) = open.pop() {
            let new = uses.get(&next).into_iter().flatten().filter(|to| seen.insert((*to).clone()));
            open.extend(new.cloned().collect::<Vec<_>>());
        }
        seen
    };
    let reach: BTreeMap<_, _> = uses.keys().map(|module| (module, reached(module))).collect();
    let group = |module: &String| {
        let back = |other: &&String| reach.get(other).is_some_and(|reached| reached.contains(module));
        reach[module].iter().filter(back).cloned().collect::<BTreeSet<_>>()
    };
    uses.keys().map(group).filter(|group| !group.is_empty()).collect()
}

#[test]
fn no_new_circles_between_the_modules_of_a_folder() {
    let found: Vec<_> = neighbours(&house())
        .iter()
        .flat_map(|(folder, uses)| circles(uses).into_iter().map(|circle| (folder.join("::"), circle)))
        .collect();
    let fits = |(folder, circle): &(String, BTreeSet<String>), (of, known): &(&str, &[&str])| {
        folder == of && circle.iter().all(|module| known.contains(&module.as_str()))
    };
    let line = |(folder, circle): &(String, BTreeSet<String>)| format!("{folder}: {circle:?}");
    let new: Vec<_> =
        found.iter().filter(|it| !CIRCLES.iter().any(|known| fits(it, known))).map(line).collect();
    none(&new, "modules of one folder that use each other in a circle");
    let gone: Vec<_> = CIRCLES
        .iter()
        .filter(|known| !found.iter().any(|it| fits(it, known)))
        .map(|(folder, _)| (*folder).to_owned())
        .collect();
    none(&gone, "a circle is no more: take it out of CIRCLES");
}

#[test]
fn a_circle_is_seen() {
    let uses = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
        .map(|(user, used)| (user.to_owned(), BTreeSet::from([used.to_owned()])));
    let circle = ["a", "b", "c"].map(ToOwned::to_owned);
    assert_eq!(circles(&BTreeMap::from(uses)), BTreeSet::from([BTreeSet::from(circle)]));
}

#[test]
fn use_trees_renames_and_macros_are_read() {
    let text = "use kube::{Api, Client as C}; use super::b;
        fn f() { C::try_from(1); b::g(); println!(\"{}\", Api::all(1)); }
        struct S; impl Iterator for S { type Item = u8; } #[cfg(test)] mod fixture;
        #[cfg(test)] mod tests { use reqwest::Client; enum E {} }";
    let module = ["bowline", "a"].map(ToOwned::to_owned);
    let read = Reader::read(&module, &syn::parse_str(text).unwrap());
    assert_eq!(
        (read.types, read.test_modules[0].join("::")),
        (vec!["S".to_owned()], "bowline::a::fixture".to_owned())
    );
    let used: Vec<_> = read.paths.iter().map(|path| path.join("::")).collect();
    for path in ["kube::Api", "kube::Api::all", "kube::Client::try_from", "bowline::b::g"] {
        assert!(used.iter().any(|used| used == path), "{path} is not in {used:?}");
    }
    assert!(!used.iter().any(|used| used.contains("reqwest")), "{used:?}");
    let with_tests = Reader::read_with_tests(&module, &syn::parse_str(text).unwrap());
    assert!(with_tests.paths.iter().any(|path| path.join("::") == "reqwest::Client"));
}

#[test]
fn pure_code_asks_nobody() {
    let words =
        ["kube::Client", "kube::client", "kube::Api", "kube::api::Api", "kube::*", "reqwest", "Instant::now"];
    let pure = |path: &str| {
        PURE.iter().any(|pure| path == *pure || (pure.ends_with('/') && path.starts_with(pure)))
            || PURE_NAMES
                .iter()
                .any(|name| path.rsplit('/').next() == Some(name) && !path.starts_with(PLUGIN))
            || path.contains("/decide/")
    };
    none(&using(&words, |path| !pure(path)), "pure code does no I/O");
}

#[test]
fn the_clock_is_read_in_one_place() {
    let clock = "crates/bowline-runtime/src/clock.rs";
    none(
        &using(&["Timestamp::now", "SystemTime::now", "Zoned::now"], |path| path == clock),
        "clock.rs alone",
    );
}

#[test]
fn the_environment_is_read_where_settings_are_made() {
    let allowed = |path: &str| {
        path == "src/cli.rs" || path == "crates/bowline-portal/src/settings.rs" || path.starts_with(PLUGIN)
    };
    none(&using(&["std::env"], allowed), "cli.rs, and the plug-in");
}

#[test]
fn what_is_applied_is_applied_in_one_place() {
    let allowed = |path: &str| {
        path.starts_with("src/kube_ext/")
            || path.starts_with(PLUGIN)
            || path == "crates/bowline-portal/src/write.rs"
    };
    none(&using(&["PatchParams"], allowed), "kube_ext, the plug-in, and one file of the portal");
}

/// Where each type is defined, by its name.
fn types() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut types: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources() {
        for name in &source.types {
            types.entry(name.as_str()).or_default().push(source.path.as_str());
        }
    }
    types
}

#[test]
fn a_name_means_one_type() {
    let types = types();
    let shared = |name: &str| types.get(name).is_some_and(|paths| paths.len() > 1);
    let allowed: Vec<_> = SHARED_NAMES.iter().flat_map(|(_, names)| *names).copied().collect();
    let new: Vec<_> = types
        .iter()
        .filter(|(name, _)| shared(name) && !allowed.contains(name))
        .map(|(name, paths)| format!("{name}: {}", paths.join(", ")))
        .collect();
    none(&new, "a type has a name of its own");
    let unique: Vec<_> = allowed.iter().filter(|name| !shared(name)).map(ToString::to_string).collect();
    none(&unique, "these names are unique: remove them from SHARED_NAMES");
}

#[test]
fn every_library_warns_of_pub_that_nobody_outside_can_use() {
    let roots = crates().into_iter().map(|folder| folder.join("src/lib.rs")).filter(|root| root.exists());
    let problems: Vec<_> = roots
        .filter(|root| !fs::read_to_string(root).unwrap().contains("warn(unreachable_pub)"))
        .map(|root| slashed(root.strip_prefix(crate::root()).unwrap()))
        .collect();
    none(&problems, "each lib.rs warns of unreachable_pub");
}

#[test]
fn names_say_something() {
    let empty = ["util", "utils", "helper", "helpers", "common", "manager", "misc"];
    let problems: Vec<_> = sources()
        .iter()
        .filter(|source| source.path.split('/').any(|part| empty.contains(&part.trim_end_matches(".rs"))))
        .map(|source| source.path.clone())
        .collect();
    none(&problems, "a name that says nothing");
}

#[test]
fn files_fit_into_a_head() {
    let problems: Vec<_> = sources()
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > FILE_LINES)
        .map(|(lines, path)| format!("{path} has {lines} lines"))
        .collect();
    none(&problems, "at most 400 lines without tests");
}

/// First line, name and length of each function, found by the indentation of its closing brace.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let begins = |line: &str| {
        let words = line.trim_start().trim_start_matches("pub(").trim_start_matches("pub ");
        let before = words.split("fn ").next().unwrap_or_default();
        words.contains("fn ") && before.chars().all(|c| c.is_alphabetic() || " ():_".contains(c))
    };
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let name = first_word(line.split("fn ").nth(1).unwrap_or_default());
        let rest = lines[first..].iter();
        let length = rest.clone().position(|line| **line == format!("{indent}}}")).map_or(1, |last| last + 1);
        let declared =
            rest.take(length).position(|line| line.trim_end().ends_with(';') && !line.contains('{'));
        let opened = lines[first..first + length].iter().position(|line| line.trim_end().ends_with('{'));
        if opened.is_some() && declared.is_none_or(|end| opened < Some(end)) {
            found.push((first, name, length));
        }
    }
    found
}

#[test]
fn functions_fit_on_a_screen() {
    let mut problems = Vec::new();
    for source in sources() {
        let lines: Vec<_> = source.text.lines().collect();
        for (first, name, length) in functions(&source.text) {
            let comment =
                lines[..first].iter().rev().take_while(|line| line.trim_start().starts_with(['/', '#']));
            if length > FUNCTION_LINES && !comment.into_iter().any(|line| line.contains(LONG)) {
                problems.push(format!("{}:{}: {name} has {length} lines", source.path, first + 1));
            }
        }
    }
    none(&problems, "at most 40 lines, or a comment `// long: why`");
}

#[test]
fn a_long_function_is_seen() {
    let body = "    let x = 1;\n".repeat(50);
    let text = format!(
        "impl A {{\n}}\n\npub(super) async fn long(\n    a: u8,\n) -> u8 {{\n{body}}}\nfn short() {{\n}}\n"
    );
    let found = functions(&text);
    assert_eq!(found[0], (3, "long".to_owned(), 54));
    assert_eq!(found[1].1, "short");
}

#[test]
fn the_walk_through_names_files_that_exist() {
    let Ok(text) = fs::read_to_string(root().join("ARCHITECTURE.md")) else { return };
    let named = text.split('`').skip(1).step_by(2).map(|name| name.split(':').next().unwrap());
    let is_path =
        |name: &&str| name.contains('/') && name.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let roots = ["src", "crates", "tests", "docs", "deploy", "crds", "examples", ".ci"];
    let problems: Vec<_> = named
        .filter(is_path)
        .filter(|name| roots.contains(&name.split('/').next().unwrap()))
        .filter(|name| !root().join(name).exists())
        .map(ToOwned::to_owned)
        .collect();
    none(&problems, "ARCHITECTURE.md names files that are there");
}
