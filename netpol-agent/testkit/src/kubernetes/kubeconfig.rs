//! What a client has to know of an API server.

use std::path::Path;

/// A kubeconfig for who has `token`; `authority` is the file with the certificate that vouches for the server at `url`.
pub(crate) fn kubeconfig(url: &str, authority: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: netpol\n\
         clusters: [{{name: netpol, cluster: {{server: \"{url}\", certificate-authority: {}}}}}]\n\
         users: [{{name: user, user: {{token: {token}}}}}]\n\
         contexts: [{{name: netpol, context: {{cluster: netpol, user: user}}}}]\n",
        authority.display(),
    )
}
