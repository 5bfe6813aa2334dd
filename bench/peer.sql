-- One payment as a stored function: what an expert would write who has nothing but PL/pgSQL, the same tables and the three standard plugins.
-- It pays an invoice whole, by one tender that is exactly what is due, and leaves the same rows as the service does.
-- The receipt number and the end of the audit chain come last, because every cashier of the clinic waits for those two rows.
-- Ids are random, which costs least; only the moves of stock need ids in the order of booking.
CREATE FUNCTION bench_ordered_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(overlay(uuid_send(gen_random_uuid()) PLACING substr(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 3)
        FROM 1 FOR 6), 'hex')::uuid
$$;

CREATE FUNCTION bench_pay(p_clinic uuid, p_login text, p_invoice uuid, p_key text, p_method text, p_amount bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := clock_timestamp();
    v_payment uuid := gen_random_uuid();
    v_actor record;
    v_clinic record;
    v_series record;
    v_invoice record;
    v_visit record;
    v_window record;
    v_item record;
    v_batch record;
    v_head record;
    v_shift uuid;
    v_date date;
    v_used uuid[] := '{}';
    v_period text;
    v_request text;
    v_hash text;
    v_answer text;
    v_shown text;
    v_due bigint;
    v_count bigint;
    v_left bigint;
    v_taken bigint;
    v_share bigint;
    v_data text;
    v_number bigint;
    v_printed text;
    v_content text;
BEGIN
    -- The policies on the tables show this clinic's rows only.
    PERFORM set_config('app.clinic', p_clinic::text, true);

    -- Who acts, where.
    SELECT s.id, s.name, m.role INTO v_actor FROM staff s JOIN membership m ON m.staff_id = s.id
        WHERE m.clinic_id = p_clinic AND s.login = p_login AND s.active AND m.active;
    IF NOT FOUND OR v_actor.role NOT IN ('cashier', 'manager') THEN RAISE EXCEPTION 'permission_missing'; END IF;
    SELECT currency, time_zone INTO STRICT v_clinic FROM clinic WHERE clinic_id = p_clinic;
    SELECT series, format, start_value INTO STRICT v_series FROM number_series WHERE clinic_id = p_clinic AND kind = 'receipt' AND standard;
    v_date := (v_at AT TIME ZONE v_clinic.time_zone)::date;
    v_period := to_char(v_date, 'YYYY');

    SELECT id INTO v_shift FROM shift WHERE clinic_id = p_clinic AND cashier_id = v_actor.id AND closed_at IS NULL;
    IF EXISTS (SELECT FROM audit_head WHERE clinic_id = p_clinic AND closed_through >= v_date) THEN RAISE EXCEPTION 'period_closed'; END IF;

    -- The idempotency key.
    v_request := format('["payment.take",{"applied_minor":null,"given":{},"invoice":"%s","scope":"ALL","series":null,'
        || '"tenders":[{"amount_minor":%s,"method":"%s","reference":null}]}]', p_invoice, p_amount, p_method);
    v_hash := encode(sha256(convert_to(v_request, 'UTF8')), 'hex');
    INSERT INTO idempotency_key (clinic_id, actor_id, key, action, request_hash, answer, at)
        VALUES (p_clinic, v_actor.id, p_key, 'payment.take', v_hash, 'null', v_at) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT CASE WHEN request_hash = v_hash THEN answer END INTO v_answer
            FROM idempotency_key WHERE clinic_id = p_clinic AND actor_id = v_actor.id AND key = p_key;
        IF v_answer IS NULL THEN RAISE EXCEPTION 'key_reused'; END IF;
        RETURN v_answer;
    END IF;

    -- Lock the invoice, then read its items.
    SELECT i.*, p.sex INTO v_invoice FROM invoice i JOIN patient p ON p.clinic_id = i.clinic_id AND p.id = i.patient_id
        WHERE i.clinic_id = p_clinic AND i.id = p_invoice FOR UPDATE OF i;
    IF NOT FOUND THEN RAISE EXCEPTION 'unknown_invoice'; END IF;
    IF v_invoice.status NOT IN ('sent', 'partial') THEN RAISE EXCEPTION 'already_paid'; END IF;
    SELECT count(*), sum(total_minor - credited_minor - payer_minor), string_agg(format('{"code":%s,"department":"%s","description":%s,"id":"%s","total_minor":%s}',
            to_json(code), department, to_json(description), id, total_minor), ',' ORDER BY position)
        INTO v_count, v_due, v_shown
        FROM invoice_item WHERE clinic_id = p_clinic AND invoice_id = p_invoice AND payment_id IS NULL AND credited_milli < quantity_milli;
    v_due := least(v_due, v_invoice.total_minor - v_invoice.payer_minor - v_invoice.amount_paid_minor - v_invoice.written_off_minor - v_invoice.credited_minor);
    IF v_count = 0 OR p_amount <> v_due THEN RAISE EXCEPTION 'underpaid'; END IF;

    -- The consultation: shares of the providers, and the window for follow-ups.
    FOR v_visit IN
        SELECT i.*, v.follow_up, t.share_bp, t.follow_up_days, t.follow_up_price_e4, t.follow_up_visits FROM invoice_item i
            LEFT JOIN consultation_visit v ON v.clinic_id = i.clinic_id AND v.service_id = i.service_id
            LEFT JOIN LATERAL (SELECT * FROM consultation_terms c WHERE c.clinic_id = i.clinic_id
                AND (c.provider_id IS NULL OR c.provider_id = i.provider_id) ORDER BY c.provider_id NULLS LAST LIMIT 1) t ON true
            WHERE i.clinic_id = p_clinic AND i.invoice_id = p_invoice AND i.payment_id IS NULL AND i.department = 'consultation'
            ORDER BY i.position
    LOOP
        v_share := CASE WHEN v_visit.provider_id IS NULL THEN 0 ELSE (v_visit.taxable_minor * v_visit.share_bp * 2 + 10000) / 20000 END;
        v_data := format('{"share_minor":%s}', coalesce(v_share, 0));
        SELECT * INTO v_window FROM consultation_follow_up
            WHERE clinic_id = p_clinic AND patient_id = v_invoice.patient_id AND provider_id = v_visit.provider_id FOR UPDATE;
        IF v_visit.follow_up AND FOUND AND v_window.closed_at IS NULL AND v_window.visits_left >= 1
            AND v_date BETWEEN v_window.free_from_date AND v_window.free_through_date AND v_visit.unit_price_e4 <= v_window.unit_price_e4 THEN
            v_taken := least((v_visit.quantity_milli + 999) / 1000, v_window.visits_left);
            UPDATE consultation_follow_up SET visits_left = visits_left - v_taken
                WHERE clinic_id = p_clinic AND patient_id = v_invoice.patient_id AND provider_id = v_visit.provider_id;
            v_used := v_used || v_visit.id;
            v_data := format('{"follow_up_of":"%s","share_minor":%s,"visits":%s}', v_window.item_id, coalesce(v_share, 0), v_taken);
        END IF;
        IF v_share > 0 THEN
            INSERT INTO consultation_share (clinic_id, id, provider_id, item_id, action_id, amount_minor, at, business_date)
                VALUES (p_clinic, gen_random_uuid(), v_visit.provider_id, v_visit.id, v_payment, v_share, v_at, v_date);
        END IF;
        INSERT INTO effect (clinic_id, id, action, action_id, item_id, plugin, kind, row_key, quantity_milli, data, at)
            VALUES (p_clinic, gen_random_uuid(), 'payment', v_payment, v_visit.id, 'consultation',
                CASE WHEN v_visit.follow_up IS NULL THEN 'procedure.paid' ELSE 'visit.paid' END,
                coalesce(v_visit.provider_id::text, ''), v_visit.quantity_milli, v_data, v_at);
    END LOOP;

    -- The laboratory: one order for each item, one pending result for each analyte.
    IF EXISTS (SELECT FROM invoice_item i LEFT JOIN laboratory_test t ON t.clinic_id = i.clinic_id AND t.service_id = i.service_id AND t.active
            WHERE i.clinic_id = p_clinic AND i.invoice_id = p_invoice AND i.payment_id IS NULL AND i.department = 'laboratory'
            AND (t.id IS NULL OR i.quantity_milli <> 1000)) THEN RAISE EXCEPTION 'no_such_lab_test'; END IF;
    WITH orders AS (
        INSERT INTO laboratory_order (clinic_id, id, item_id, patient_id, test_id, status, priority, ordered_at)
            SELECT p_clinic, gen_random_uuid(), i.id, v_invoice.patient_id, t.id, 'ordered', 'routine', v_at FROM invoice_item i
                JOIN laboratory_test t ON t.clinic_id = i.clinic_id AND t.service_id = i.service_id
                WHERE i.clinic_id = p_clinic AND i.invoice_id = p_invoice AND i.payment_id IS NULL AND i.department = 'laboratory'
            RETURNING id, item_id, test_id),
    results AS (
        INSERT INTO laboratory_result (clinic_id, id, order_id, analyte_id, position, status, unit, flag, range_text, reason)
            SELECT p_clinic, gen_random_uuid(), o.id, m.analyte_id, m.position, 'pending', a.unit, '', '', '' FROM orders o
                JOIN laboratory_panel_member m ON m.clinic_id = p_clinic AND m.test_id = o.test_id
                JOIN laboratory_analyte a ON a.clinic_id = p_clinic AND a.id = m.analyte_id)
    INSERT INTO effect (clinic_id, id, action, action_id, item_id, plugin, kind, row_key, quantity_milli, data, at)
        SELECT p_clinic, gen_random_uuid(), 'payment', v_payment, item_id, 'laboratory', 'lab.ordered', id::text, 1000, '{}', v_at FROM orders;

    -- The pharmacy: first expired, first out. All batches are locked in the order of their keys, so two payments never wait for each other.
    PERFORM FROM pharmacy_batch WHERE clinic_id = p_clinic AND on_hand_milli > 0 AND service_id IN (SELECT service_id FROM invoice_item
            WHERE clinic_id = p_clinic AND invoice_id = p_invoice AND payment_id IS NULL AND department = 'pharmacy') ORDER BY id FOR UPDATE;
    FOR v_item IN SELECT id, service_id, quantity_milli FROM invoice_item
            WHERE clinic_id = p_clinic AND invoice_id = p_invoice AND payment_id IS NULL AND department = 'pharmacy' ORDER BY position
    LOOP
        v_left := v_item.quantity_milli;
        FOR v_batch IN SELECT id, on_hand_milli FROM pharmacy_batch WHERE clinic_id = p_clinic AND service_id = v_item.service_id
                AND on_hand_milli > 0 AND NOT blocked AND expires_on >= v_date ORDER BY expires_on, id
        LOOP
            v_taken := least(v_left, v_batch.on_hand_milli);
            UPDATE pharmacy_batch SET on_hand_milli = on_hand_milli - v_taken WHERE clinic_id = p_clinic AND id = v_batch.id;
            INSERT INTO pharmacy_move (clinic_id, id, batch_id, quantity_milli, reason, item_id, action_id, business_date, at, actor_id, note)
                VALUES (p_clinic, bench_ordered_id(), v_batch.id, -v_taken, 'sale', v_item.id, v_payment, v_date, v_at, v_actor.id, '');
            INSERT INTO effect (clinic_id, id, action, action_id, item_id, plugin, kind, row_key, quantity_milli, data, at)
                VALUES (p_clinic, gen_random_uuid(), 'payment', v_payment, v_item.id, 'pharmacy', 'stock.dispensed', v_batch.id::text,
                    v_taken, '{}', v_at);
            v_left := v_left - v_taken;
            EXIT WHEN v_left = 0;
        END LOOP;
        IF v_left > 0 THEN RAISE EXCEPTION 'out_of_stock'; END IF;
        INSERT INTO pharmacy_reservation (clinic_id, item_id, service_id, quantity_milli, status, changed_at)
            VALUES (p_clinic, v_item.id, v_item.service_id, v_item.quantity_milli, 'dispensed', v_at)
            ON CONFLICT (clinic_id, item_id) DO UPDATE SET service_id = excluded.service_id, quantity_milli = excluded.quantity_milli,
                status = excluded.status, changed_at = excluded.changed_at;
    END LOOP;

    -- The invoice, the event, the answer under the key.
    UPDATE invoice SET amount_paid_minor = amount_paid_minor + v_due, status = 'paid' WHERE clinic_id = p_clinic AND id = p_invoice;
    INSERT INTO event (clinic_id, id, topic, subject_id, data, at)
        VALUES (p_clinic, gen_random_uuid(), 'payment.taken', v_payment::text,
            format('{"applied_minor":%s,"invoice_id":"%s","scope":"ALL","status":"paid"}', v_due, p_invoice), v_at);
    v_answer := format('{"amount_due_minor":0,"amount_paid_minor":%s,"applied_minor":%s,"business_date":"%s","change_minor":0,'
        || '"currency":"%s","due_minor":%s,"id":"%s","invoice_id":"%s","items":[%s],"on_account_minor":0,"rounding_minor":0,'
        || '"scope":"ALL","status":"paid","taken_at":"%s","tendered_minor":%s}',
        v_invoice.amount_paid_minor + v_due, v_due, v_date, v_clinic.currency, v_due, v_payment, p_invoice, v_shown,
        to_char(v_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00', p_amount);
    UPDATE idempotency_key SET answer = v_answer WHERE clinic_id = p_clinic AND actor_id = v_actor.id AND key = p_key;

    -- The receipt number; the payment, which carries it; what refers to the payment.
    INSERT INTO number_counter AS c (clinic_id, series, period, latest_value) VALUES (p_clinic, v_series.series, v_period, v_series.start_value)
        ON CONFLICT (clinic_id, series, period) DO UPDATE SET latest_value = c.latest_value + 1 RETURNING latest_value INTO v_number;
    v_printed := replace(replace(v_series.format, '{year}', v_period), '{number:05}', lpad(v_number::text, greatest(5, length(v_number::text)), '0'));
    INSERT INTO payment (clinic_id, id, invoice_id, scope, currency, due_minor, tendered_minor, change_minor, rounding_minor, applied_minor,
            series, receipt_period, receipt_value, receipt_number, taken_at, business_date, taken_by, cashier, shift_id, amount_due_minor,
            on_account_minor)
        VALUES (p_clinic, v_payment, p_invoice, 'ALL', v_clinic.currency, v_due, p_amount, 0, 0, v_due, v_series.series, v_period, v_number,
            v_printed, v_at, v_date, v_actor.id, v_actor.name, v_shift, 0, 0);
    INSERT INTO tender (clinic_id, id, payment_id, position, method, amount_minor)
        VALUES (p_clinic, gen_random_uuid(), v_payment, 1, p_method, p_amount);
    WITH paid AS (
        UPDATE invoice_item SET payment_id = v_payment, paid_at = v_at
            WHERE clinic_id = p_clinic AND invoice_id = p_invoice AND payment_id IS NULL AND credited_milli < quantity_milli
            RETURNING id, total_minor - credited_minor - payer_minor AS client_minor, payer_minor)
    INSERT INTO payment_item (clinic_id, payment_id, item_id, amount_minor, payer_minor)
        SELECT p_clinic, v_payment, id, client_minor, payer_minor FROM paid;

    -- The shift is still open; the journal.
    IF v_shift IS NOT NULL THEN
        UPDATE shift SET latest_at = v_at WHERE clinic_id = p_clinic AND id = v_shift AND closed_at IS NULL;
        IF NOT FOUND THEN RAISE EXCEPTION 'shift_closed'; END IF;
    END IF;
    INSERT INTO journal_line (clinic_id, action_id, kind, position, business_date, at, account, amount_minor, invoice_id, client_id, shift_id, actor_id)
        VALUES (p_clinic, v_payment, 'payment', 1, v_date, v_at, CASE p_method WHEN 'cash' THEN 'cash' ELSE 'method:' || p_method END,
                p_amount, p_invoice, NULL, v_shift, v_actor.id),
            (p_clinic, v_payment, 'payment', 2, v_date, v_at, 'receivable:client', -v_due, p_invoice, v_invoice.client_id, NULL, v_actor.id);

    -- A visit paid in full opens the window for follow-ups; one that opens later stays.
    INSERT INTO consultation_follow_up AS f (clinic_id, patient_id, provider_id, free_from_date, free_through_date, visits_left, unit_price_e4,
            item_id, payment_id)
        SELECT DISTINCT ON (i.provider_id) p_clinic, v_invoice.patient_id, i.provider_id, v_date, v_date + t.follow_up_days::integer,
            t.follow_up_visits, t.follow_up_price_e4, i.id, v_payment FROM invoice_item i
            JOIN consultation_visit v ON v.clinic_id = i.clinic_id AND v.service_id = i.service_id AND v.follow_up
            JOIN LATERAL (SELECT * FROM consultation_terms c WHERE c.clinic_id = i.clinic_id
                AND (c.provider_id IS NULL OR c.provider_id = i.provider_id) ORDER BY c.provider_id NULLS LAST LIMIT 1) t ON true
            WHERE i.clinic_id = p_clinic AND i.payment_id = v_payment AND i.department = 'consultation' AND i.provider_id IS NOT NULL
                AND i.taxable_minor > 0 AND i.unit_price_e4 > t.follow_up_price_e4 AND t.follow_up_days > 0 AND i.id <> ALL (v_used)
            ORDER BY i.provider_id, i.position DESC
        ON CONFLICT (clinic_id, patient_id, provider_id) DO UPDATE SET free_from_date = excluded.free_from_date,
            free_through_date = excluded.free_through_date, visits_left = excluded.visits_left, unit_price_e4 = excluded.unit_price_e4,
            item_id = excluded.item_id, payment_id = excluded.payment_id, closed_at = NULL
            WHERE NOT (f.closed_at IS NULL AND f.free_from_date > excluded.free_from_date);

    -- The end of the audit chain: the same bytes are hashed as everywhere.
    v_data := format('{"amount_due_minor":0,"applied_minor":%s,"due_minor":%s,"invoice_id":"%s","items":%s,"number_format":"%s",'
        || '"on_account_minor":0,"scope":"ALL"}', v_due, v_due, p_invoice, v_count, replace(v_series.format, '{year}', v_period));
    v_content := format('["%s","%s","%s","payment.taken","payment","%s",%s]', p_clinic,
        to_char(v_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00', v_actor.id, v_payment, v_data);
    UPDATE audit_head AS h SET position = h.position + 1, previous_hash = h.hash,
            hash = encode(sha256(convert_to(h.hash || v_content || v_number::text, 'UTF8')), 'hex')
        WHERE h.clinic_id = p_clinic AND coalesce(h.closed_through, '0001-01-01'::date) < v_date
        RETURNING position, previous_hash, hash INTO v_head;
    IF NOT FOUND THEN RAISE EXCEPTION 'period_closed'; END IF;
    INSERT INTO audit_entry (clinic_id, position, at, actor_id, action, subject, subject_id, data, number_value, previous_hash, hash)
        VALUES (p_clinic, v_head.position, v_at, v_actor.id, 'payment.taken', 'payment', v_payment::text, v_data, v_number,
            v_head.previous_hash, v_head.hash);

    -- The day's takings of this cashier.
    INSERT INTO takings AS t (clinic_id, business_date, cashier_id, kind, department, provider_id, method, amount_minor, acts)
        SELECT p_clinic, v_date, v_actor.id, 'payment', i.department, coalesce(i.provider_id, '00000000-0000-0000-0000-000000000000'), p_method,
            sum(s.amount_minor), 1 FROM payment_item s JOIN invoice_item i ON i.clinic_id = s.clinic_id AND i.id = s.item_id
            WHERE s.clinic_id = p_clinic AND s.payment_id = v_payment GROUP BY 5, 6 HAVING sum(s.amount_minor) <> 0 ORDER BY 5, 6
        ON CONFLICT (clinic_id, business_date, cashier_id, kind, department, provider_id, method)
            DO UPDATE SET amount_minor = t.amount_minor + excluded.amount_minor, acts = t.acts + 1;
    RETURN v_answer;
END
$$;
