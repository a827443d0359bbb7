"""Fields for whose sake the tracer has to read answers."""

# What only the answers to questions and requests have: a rule that reads none of these is not asked about answers.
ANSWER_FIELDS = frozenset(["dns.response.code", "imds.type", "imds.server", "imds.aws.security_credentials.type",
                           "network.network_direction"])
# What earlier answers of name servers tell of an address.
NAME_FIELDS = frozenset(["connect.addr.hostname", "accept.addr.hostname"])
