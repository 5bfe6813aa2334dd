"""What revision core_0004 books for the documents of before: journal, takings, and what each receipt said, set by set on both databases.

The figures are those that the services book for such documents, but for two things that the rows don't tell: money by a plugin's own
method that is cash stands on that method's account, and no shift is invented. Fixed text: later rules don't change what was done then.
"""

from sqlalchemy import Connection, bindparam, text

from billing import clock
from billing.model.types import DayType, IdType, InstantType

_RECEIPTS = """
UPDATE payment SET amount_due_minor = so_far.due_minor, on_account_minor = so_far.on_account_minor
FROM (
    SELECT p.clinic_id, p.id,
        CAST(i.total_minor - SUM(p.applied_minor) OVER till_then AS bigint) AS due_minor,
        CAST(SUM(p.applied_minor - COALESCE(s.settled_minor, 0)) OVER till_then AS bigint) AS on_account_minor
    FROM payment AS p
    JOIN invoice AS i ON i.clinic_id = p.clinic_id AND i.id = p.invoice_id
    LEFT JOIN (
        SELECT clinic_id, payment_id, SUM(amount_minor) AS settled_minor FROM payment_item GROUP BY clinic_id, payment_id
    ) AS s ON s.clinic_id = p.clinic_id AND s.payment_id = p.id
    WINDOW till_then AS (PARTITION BY p.clinic_id, p.invoice_id ORDER BY p.taken_at, p.receipt_value, p.id)
) AS so_far
WHERE payment.clinic_id = so_far.clinic_id AND payment.id = so_far.id
"""

_INTO_JOURNAL = """
INSERT INTO journal_line (clinic_id, action_id, kind, position, business_date, at, account, amount_minor, invoice_id, client_id, actor_id)
"""

# Half up in whole numbers, as everywhere: what an allowance has lowered the taxable amount by, without the tax in it.
_ISSUES = (
    _INTO_JOURNAL
    + """
WITH item AS (
    SELECT x.*, i.prices_include_tax, x.allowance_minor - CASE WHEN x.adjustment_minor < 0 THEN x.adjustment_minor ELSE 0 END AS lowered_minor
    FROM invoice_item AS x JOIN invoice AS i ON i.clinic_id = x.clinic_id AND i.id = x.invoice_id
    WHERE i.issued_at IS NOT NULL
), part AS (
    SELECT item.*, CASE WHEN prices_include_tax
        THEN (lowered_minor * 20000 + 10000 + tax_rate_bp) / ((10000 + tax_rate_bp) * 2) ELSE lowered_minor END AS discount_minor
    FROM item
), line AS (
    SELECT clinic_id, invoice_id, 0 AS place, 'receivable:client' AS account, CAST(SUM(total_minor) AS bigint) AS amount_minor
    FROM part GROUP BY clinic_id, invoice_id
    UNION ALL
    SELECT clinic_id, invoice_id, MIN(position), 'revenue:' || department, -CAST(SUM(taxable_minor + discount_minor) AS bigint)
    FROM part GROUP BY clinic_id, invoice_id, department
    UNION ALL
    SELECT clinic_id, invoice_id, MIN(position), 'discount:' || department, CAST(SUM(discount_minor) AS bigint)
    FROM part GROUP BY clinic_id, invoice_id, department
    UNION ALL
    SELECT clinic_id, invoice_id, MIN(position), 'tax:' || tax_category || ':' || tax_rate_bp, -CAST(SUM(tax_minor) AS bigint)
    FROM part GROUP BY clinic_id, invoice_id, tax_category, tax_rate_bp
), issuer AS (
    SELECT clinic_id, subject_id, MIN(CAST(actor_id AS text)) AS actor_id
    FROM audit_entry WHERE action = 'invoice.issued' GROUP BY clinic_id, subject_id
)
SELECT line.clinic_id, i.id, 'issue', ROW_NUMBER() OVER (PARTITION BY line.clinic_id, line.invoice_id ORDER BY line.place, line.account),
    i.issue_date, i.issued_at, line.account, line.amount_minor, i.id, CASE WHEN line.account = 'receivable:client' THEN i.client_id END,
    COALESCE(CAST(issuer.actor_id AS {id}), i.created_by)
FROM line
JOIN invoice AS i ON i.clinic_id = line.clinic_id AND i.id = line.invoice_id
LEFT JOIN issuer ON issuer.clinic_id = i.clinic_id AND issuer.subject_id = CAST(i.id AS text)
WHERE line.amount_minor <> 0
"""
)

_CANCELLATIONS = (
    _INTO_JOURNAL
    + """
SELECT j.clinic_id, j.action_id, 'cancel', j.position, j.business_date, i.cancelled_at, j.account, -j.amount_minor, j.invoice_id, j.client_id,
    COALESCE(CAST(a.actor_id AS {id}), j.actor_id)
FROM journal_line AS j
JOIN invoice AS i ON i.clinic_id = j.clinic_id AND i.id = j.action_id
LEFT JOIN (
    SELECT clinic_id, subject_id, MIN(CAST(actor_id AS text)) AS actor_id
    FROM audit_entry WHERE action = 'invoice.cancelled' GROUP BY clinic_id, subject_id
) AS a ON a.clinic_id = i.clinic_id AND a.subject_id = CAST(i.id AS text)
WHERE j.kind = 'issue' AND i.cancelled_at IS NOT NULL
"""
)

# What of each method stays: the change came out of the cash.
_KEPT = """
kept AS (
    SELECT p.clinic_id, p.id AS payment_id, t.method, MIN(t.position) AS place,
        CAST(SUM(t.amount_minor) AS bigint) - CASE WHEN t.method = 'cash' THEN p.change_minor ELSE 0 END AS amount_minor
    FROM payment AS p JOIN tender AS t ON t.clinic_id = p.clinic_id AND t.payment_id = p.id
    GROUP BY p.clinic_id, p.id, p.change_minor, t.method
)
"""

_PAYMENTS = (
    _INTO_JOURNAL
    + f"WITH {_KEPT}"
    + """
, line AS (
    SELECT clinic_id, payment_id, place, CASE WHEN method = 'cash' THEN 'cash' ELSE 'method:' || method END AS account, amount_minor FROM kept
    UNION ALL
    SELECT clinic_id, id, 1000, 'receivable:client', -applied_minor FROM payment
    UNION ALL
    SELECT clinic_id, id, 1001, 'rounding', -rounding_minor FROM payment
)
SELECT line.clinic_id, p.id, 'payment', ROW_NUMBER() OVER (PARTITION BY line.clinic_id, line.payment_id ORDER BY line.place),
    p.business_date, p.taken_at, line.account, line.amount_minor, i.id, CASE WHEN line.account = 'receivable:client' THEN i.client_id END, p.taken_by
FROM line
JOIN payment AS p ON p.clinic_id = line.clinic_id AND p.id = line.payment_id
JOIN invoice AS i ON i.clinic_id = p.clinic_id AND i.id = p.invoice_id
WHERE line.amount_minor <> 0
"""
)

# Departments' amounts and methods' amounts are laid side by side on one line from 0; a cell is where two of them overlap. What departments
# have beyond all methods (paid by money on account of before), and the row that takes that off again, stand with the first method.
_TAKINGS = f"""
INSERT INTO takings (clinic_id, business_date, cashier_id, kind, department, provider_id, method, amount_minor, acts)
WITH {_KEPT}
, owed AS (
    SELECT s.clinic_id, s.payment_id, x.department, COALESCE(x.provider_id, {{nobody}}) AS provider_id, MIN(x.position) AS place,
        CAST(SUM(s.amount_minor) AS bigint) AS amount_minor
    FROM payment_item AS s JOIN invoice_item AS x ON x.clinic_id = s.clinic_id AND x.id = s.item_id
    GROUP BY s.clinic_id, s.payment_id, x.department, COALESCE(x.provider_id, {{nobody}})
), paid AS (
    SELECT k.clinic_id, k.payment_id, CAST(SUM(k.amount_minor) AS bigint) AS amount_minor, MIN(k.place) AS first_place
    FROM kept AS k GROUP BY k.clinic_id, k.payment_id
), of_department AS (
    SELECT clinic_id, payment_id, department, provider_id, place, amount_minor FROM owed
    UNION ALL
    SELECT paid.clinic_id, paid.payment_id, '', {{nobody}}, 1000000, paid.amount_minor - COALESCE(
        (SELECT CAST(SUM(owed.amount_minor) AS bigint) FROM owed WHERE owed.clinic_id = paid.clinic_id AND owed.payment_id = paid.payment_id), 0)
    FROM paid
), r AS (
    SELECT *, CAST(SUM(amount_minor) OVER (PARTITION BY clinic_id, payment_id ORDER BY place) AS bigint) AS until_minor FROM of_department
), k AS (
    SELECT *, CAST(SUM(amount_minor) OVER (PARTITION BY clinic_id, payment_id ORDER BY place) AS bigint) AS until_minor FROM kept
), piece AS (
    SELECT r.clinic_id, r.payment_id, r.department, r.provider_id, k.method,
        CASE WHEN r.until_minor < k.until_minor THEN r.until_minor ELSE k.until_minor END
        - CASE WHEN r.until_minor - r.amount_minor > k.until_minor - k.amount_minor
            THEN r.until_minor - r.amount_minor ELSE k.until_minor - k.amount_minor END AS amount_minor
    FROM r JOIN k ON k.clinic_id = r.clinic_id AND k.payment_id = r.payment_id
    WHERE r.amount_minor > 0 AND r.until_minor > k.until_minor - k.amount_minor AND k.until_minor > r.until_minor - r.amount_minor
    UNION ALL
    SELECT r.clinic_id, r.payment_id, r.department, r.provider_id, k.method, CASE WHEN r.amount_minor < 0 THEN r.amount_minor
        WHEN r.until_minor - r.amount_minor > paid.amount_minor THEN r.amount_minor ELSE r.until_minor - paid.amount_minor END
    FROM r
    JOIN paid ON paid.clinic_id = r.clinic_id AND paid.payment_id = r.payment_id
    JOIN k ON k.clinic_id = paid.clinic_id AND k.payment_id = paid.payment_id AND k.place = paid.first_place
    WHERE r.amount_minor < 0 OR r.until_minor > paid.amount_minor
), cell AS (
    SELECT clinic_id, payment_id, department, provider_id, method, CAST(SUM(amount_minor) AS bigint) AS amount_minor
    FROM piece GROUP BY clinic_id, payment_id, department, provider_id, method HAVING SUM(amount_minor) <> 0
)
SELECT p.clinic_id, p.business_date, p.taken_by, 'payment', cell.department, cell.provider_id, cell.method,
    CAST(SUM(cell.amount_minor) AS bigint), COUNT(*)
FROM cell JOIN payment AS p ON p.clinic_id = cell.clinic_id AND p.id = cell.payment_id
GROUP BY p.clinic_id, p.business_date, p.taken_by, cell.department, cell.provider_id, cell.method
"""

_CANCELLED = text(
    "SELECT DISTINCT j.clinic_id, j.action_id, j.at, c.time_zone FROM journal_line AS j JOIN clinic AS c ON c.clinic_id = j.clinic_id "
    "WHERE j.kind = 'cancel'"
).columns(clinic_id=IdType(), action_id=IdType(), at=InstantType())
_DATE = text(
    "UPDATE journal_line SET business_date = :day WHERE clinic_id = :clinic_id AND action_id = :action_id AND kind = 'cancel'"
).bindparams(bindparam("day", type_=DayType()), bindparam("clinic_id", type_=IdType()), bindparam("action_id", type_=IdType()))


def book_what_was(connection: Connection) -> None:
    """Book all invoices and payments of before, once: the tables are new and empty."""
    postgresql = connection.dialect.name == "postgresql"
    nobody = "'00000000-0000-0000-0000-000000000000'"
    words = {"id": "uuid" if postgresql else "text", "nobody": f"CAST({nobody} AS uuid)" if postgresql else nobody}
    for statement in (_RECEIPTS, _ISSUES, _CANCELLATIONS, _PAYMENTS, _TAKINGS):
        connection.exec_driver_sql(statement.format_map(words))
    # The day of a cancellation is the clinic's own, which no SQL of both databases tells.
    days = [
        {"day": clock.business_date(row.at, row.time_zone), "clinic_id": row.clinic_id, "action_id": row.action_id}
        for row in connection.execute(_CANCELLED)
    ]
    if days:
        connection.execute(_DATE, days)
