"""
The v2 formData API (provider reference, part C).

`wire` is the API itself, pure: values, forms, answers. `settings` is the account, `client` its
connections and its token. On them stand `account`, the eight methods, and `provider`, the gateway's
view: `letters`, `batches` and `sharing` make calls of letters, `inquiry` asks what became of them,
`results` and `tracking` make outcomes and events of the answers.
"""
