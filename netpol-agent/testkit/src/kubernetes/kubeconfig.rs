//! Writes kubeconfigs.

use std::path::Path;

/// Creates a kubeconfig for the user with `token`. `authority` is the file with the CA certificate of the server at
/// `url`.
pub(crate) fn kubeconfig(url: &str, authority: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: netpol\n\
         clusters: [{{name: netpol, cluster: {{server: \"{url}\", certificate-authority: {}}}}}]\n\
         users: [{{name: user, user: {{token: {token}}}}}]\n\
         contexts: [{{name: netpol, context: {{cluster: netpol, user: user}}}}]\n",
        authority.display(),
    )
}
