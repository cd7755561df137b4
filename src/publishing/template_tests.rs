use super::*;
use crate::publishing::PublishedCredential;
use proptest::prelude::*;
use secrecy::SecretString;

const CANARY: &str = "c4nary-\"t0ken\"";

fn one(template: &str) -> Result<String, RenderError> {
    let scopes: Vec<String> = (0..40).map(|n| format!("scope:{n}")).collect();
    with(template, &scopes)
}

fn with(template: &str, scopes: &[String]) -> Result<String, RenderError> {
    let token = SecretString::from(CANARY);
    let extras = BTreeMap::from([("instance_url".to_owned(), SecretString::from("https://eu7.example.com"))]);
    let material = Material {
        credential: PublishedCredential::OAuth { access_token: &token, token_type: "Bearer" },
        expires_at: None,
        scopes,
        account_id: Some("583231"),
        account_name: None,
        extras: &extras,
        config: None,
    };
    let templates = BTreeMap::from([("file".to_owned(), template.to_owned())]);
    Ok(render(&templates, &material)?["file"].to_string())
}

fn fault(template: &str) -> Fault {
    let error = one(template).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("c4nary") && !shown.contains("zz"), "{shown}");
    error.fault
}

#[test]
fn templates_render_what_people_need() {
    let two = ["a".to_owned(), "b".to_owned()];
    let rows = [
        ("https://x:{{ token }}@h", format!("https://x:{CANARY}@h")),
        ("{{ scopes | join(',') }}", "a,b".to_owned()),
        ("{% for s in scopes %}[{{ s }}]{% endfor %}", "[a][b]".to_owned()),
        ("{%- if account.id == '583231' -%} yes {%- else -%} no {%- endif -%}", "yes".to_owned()),
        ("{{ token | tojson }}", "\"c4nary-\\\"t0ken\\\"\"".to_owned()),
        ("{{ ('u:' ~ account.id) | b64encode }}", "dTo1ODMyMzE=".to_owned()),
        ("{{ extras.instance_url }}/api", "https://eu7.example.com/api".to_owned()),
        ("host:*:*:{# why #}{{ '}} {% set' | upper }}", "host:*:*:}} {% SET".to_owned()),
        ("{% raw %}{{ 2 * x }}{% endraw %}", "{{ 2 * x }}".to_owned()),
    ];
    for (template, expected) in rows {
        assert_eq!(with(template, &two).unwrap(), expected, "{template}");
    }
}

#[test]
fn an_expression_has_at_most_512_characters() {
    let of_length = |length: usize| format!("{{{{'{}'}}}}", "x".repeat(length - 2));
    assert_eq!(one(&of_length(512)), Ok("x".repeat(510)));
    assert_eq!(fault(&of_length(513)), Fault::NotAllowed);
    let statement = |length: usize| format!("{{%if '{}'%}}{{%endif%}}", "x".repeat(length - 5));
    assert_eq!(one(&statement(512)), Ok(String::new()));
    assert_eq!(fault(&statement(513)), Fault::NotAllowed);
}

#[test]
fn a_template_cannot_loop_for_long() {
    let nested = format!("{}x{}", "{% for a in scopes %}".repeat(5), "{% endfor %}".repeat(5));
    assert!(matches!(fault(&nested), Fault::TooManySteps | Fault::TooLarge));
    assert_eq!(fault("{% for a in scopes recursive %}{{ loop(scopes) }}{% endfor %}"), Fault::NotAllowed);
}

#[test]
fn a_template_cannot_make_a_mebibyte_in_any_way() {
    let rows = [
        ("multiplying", "{{ 'zz' * 524288 }}".to_owned(), Fault::NotAllowed),
        ("doubling by set", "{% set x = token ~ token %}".to_owned(), Fault::NotAllowed),
        ("doubling by with", "{% with x = token ~ token %}{% endwith %}".to_owned(), Fault::NotAllowed),
        ("doubling by loops", "{% for x in [token ~ token] %}{% endfor %}".to_owned(), Fault::NotAllowed),
        ("a block set", "{% set x %}zz{% endset %}".to_owned(), Fault::NotAllowed),
        ("a filter block", "{% filter upper %}zz{% endfilter %}".to_owned(), Fault::NotAllowed),
        ("a huge range", "{% for x in range(10000000) %}zz{% endfor %}".to_owned(), Fault::NotAllowed),
        ("range at all", "{{ range(100000) }}".to_owned(), Fault::UnknownName),
        ("a repeating filter", "{{ token | replace('c', token) }}".to_owned(), Fault::UnknownName),
        ("indent", "{{ token | indent(100000000) }}".to_owned(), Fault::UnknownName),
        ("format", "{{ '%0100000000d' | format(1) }}".to_owned(), Fault::UnknownName),
        ("escaping over and over", format!("{{{{ token{} }}}}", "|tojson".repeat(60)), Fault::TooLarge),
        ("encoding over and over", format!("{{{{ token{} }}}}", "|b64encode".repeat(45)), Fault::TooLarge),
        (
            "a long text in a loop",
            format!("{{% for s in scopes %}}{}{{% endfor %}}", "zz".repeat(4000)),
            Fault::TooLarge,
        ),
    ];
    for (row, template, expected) in rows {
        assert_eq!(fault(&template), expected, "{row}");
    }
}

#[test]
fn the_limit_is_for_all_keys_together() {
    let token = SecretString::from("t");
    let (extras, scopes) = (BTreeMap::new(), [String::from("s")]);
    let material = Material {
        credential: PublishedCredential::ApiKey(&token),
        expires_at: None,
        scopes: &scopes,
        account_id: None,
        account_name: None,
        extras: &extras,
        config: None,
    };
    let half = "x".repeat(OUTPUT_BYTES / 2 + 1);
    let templates = BTreeMap::from([("a".to_owned(), half.clone()), ("b".to_owned(), half)]);
    let error = render(&templates, &material).unwrap_err();
    assert_eq!((error.key.as_str(), error.fault), ("b", Fault::TooLarge));
}

#[test]
fn what_is_not_there_cannot_be_used() {
    for template in [
        "{{ zz }}",
        "{{ account.zz.zz }}",
        "{{ expiresAt }}",
        "{{ account.name }}",
        "{{ debug() }}",
        "{{ token.upper() }}",
        "{{ token is zz }}",
    ] {
        assert_eq!(fault(template), Fault::UnknownName, "{template}");
    }
    for template in [
        "{% include 'zz' %}",
        "{% extends 'zz' %}",
        "{% import 'zz' as z %}",
        "{% macro zz() %}{% endmacro %}",
    ] {
        assert_eq!(fault(template), Fault::NotAllowed, "{template}");
    }
}

#[test]
fn an_error_names_key_line_and_kind_only() {
    let error = one("fine\n{{ token | nosuch }}").unwrap_err();
    assert_eq!(error.to_string(), "the template for key file failed at line 2: unknown name");
    assert_eq!(fault("{% if %}zz"), Fault::Syntax);
    assert_eq!(fault("{{ token"), Fault::NotAllowed);
    assert_eq!(fault("{{ token | join }}"), Fault::Operation);
}

proptest! {
    #[test]
    fn no_template_breaks_the_limit_or_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{%", "%}", "{#", "#}", " for s in scopes ", " endfor ", " if token ", " endif ", "token", "'", "\"", "\\",
        "~", "*", "(", ")", "|tojson", "|upper", " set x=", "é", "\n", "-", "[", "]", "scopes|join(token)", "raw", "endraw",
    ]), 0..40)) {
        if let Ok(text) = one(&parts.concat()) {
            prop_assert!(text.len() <= OUTPUT_BYTES);
        }
    }
}

/// Values are as large as their owner made them, and there are many templates: the cost of one connection stays limited.
#[test]
fn many_templates_over_large_values_end_early() {
    let token = SecretString::from("t".repeat(64 * 1024));
    let scopes: Vec<String> = (0..10_000).map(|n| format!("s{n}")).collect();
    let looped = |expression: &str| {
        format!("{{% for s in scopes %}}{{% if {expression} == 'x' %}}{{% endif %}}{{% endfor %}}")
    };
    let rows = [
        (format!("{{{{ ({})|trim }}}}", vec!["token"; 1_000].join("~")), Fault::NotAllowed),
        (looped(&vec!["token"; 60].join("~")), Fault::TooManySteps),
        (looped("scopes|join|upper|lower|upper"), Fault::TooManySteps),
        (looped(&format!("token{}", "|upper".repeat(60))), Fault::TooManySteps),
    ];
    for (template, expected) in rows {
        let templates = (0..32).map(|n| (format!("k{n}"), template.clone())).collect();
        let extras = BTreeMap::new();
        let material = Material {
            credential: PublishedCredential::ApiKey(&token),
            expires_at: None,
            scopes: &scopes,
            account_id: None,
            account_name: None,
            extras: &extras,
            config: None,
        };
        assert_eq!(render(&templates, &material).unwrap_err().fault, expected, "{template}");
    }
}

#[test]
fn filters_have_one_budget_for_all_templates() {
    let scopes: Vec<String> = (0..1_000).map(|n| format!("scope:{n}")).collect();
    let filters = "|b64encode".repeat(30);
    let template = format!("{{% for s in scopes %}}{{% if s{filters} == 'x' %}}{{% endif %}}{{% endfor %}}");
    assert_eq!(with(&template, &scopes[..20]), Ok(String::new()));
    assert_eq!(with(&template, &scopes).unwrap_err().fault, Fault::TooLarge);
}
