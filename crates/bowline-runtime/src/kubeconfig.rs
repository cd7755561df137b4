//! Why a kubeconfig cannot be used, in one line that quotes nothing of it: it may contain tokens.

use kube::config::KubeconfigError;

/// What is wrong, in one line, at most with the path: the parser's own message quotes the lines around the error.
pub fn fault(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(cause, path) => format!("cannot read {}: {cause}", path.display()),
        KubeconfigError::Parse(_) => "the file is not a kubeconfig".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;

    #[test]
    fn a_broken_kubeconfig_is_not_quoted() {
        let error = Kubeconfig::from_yaml("users:\n- token: s3cret\n broken").unwrap_err();
        assert!(error.to_string().contains("s3cret"), "the parser quotes nothing any more: {error}");
        assert_eq!(fault(&error), "the file is not a kubeconfig");
    }

    #[test]
    fn an_absent_kubeconfig_is_named() {
        let error = Kubeconfig::read_from("/nonexistent/config").unwrap_err();
        assert!(fault(&error).starts_with("cannot read /nonexistent/config: "), "{}", fault(&error));
    }
}
