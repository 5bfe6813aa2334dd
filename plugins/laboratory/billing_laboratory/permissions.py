"""Who may do what in the laboratory. That a result takes two people is a rule of the services, not of the roles."""

from billing.plugin import Permission

READ = "lab.read"
MANAGE = "lab.manage"
ENTER = "lab.results.enter"
VERIFY = "lab.results.verify"

PERMISSIONS = (
    Permission(READ, "See tests, orders and results of the laboratory."),
    Permission(MANAGE, "Set up tests, analytes and reference ranges."),
    Permission(ENTER, "Collect and receive specimens, and enter results."),
    Permission(VERIFY, "Verify results that somebody else has entered."),
)

GRANTS = {
    "clinician": (READ, ENTER, VERIFY),
    "manager": (READ, MANAGE),
    "admin": (READ, MANAGE),
    "auditor": (READ,),
    "importer": (READ, MANAGE, ENTER, VERIFY),
}
