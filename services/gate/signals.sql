-- One row per customer and week, from the valid events inside the week; of the customers that {customers} selects. Money
-- stays decimal from end to end: sums are DECIMAL(38,4), and an average is taken in whole units of 1/10,000 and rounded
-- half up to cents. deploy/sql/synapse/views.sql says the same in T-SQL; a test holds the two together.
WITH inside AS (
    SELECT events.* FROM events, week WHERE event_time >= opens_at AND event_time < closes_at AND {customers}
),
totals AS (
    SELECT
        user_id,
        coalesce(sum(price) FILTER (WHERE event_type = 'purchase'), 0)::DECIMAL(38, 4) AS spend,
        count(*) FILTER (WHERE event_type = 'purchase') AS orders,
        count(*) FILTER (WHERE event_type = 'view') AS views,
        count(*) FILTER (WHERE event_type = 'cart') AS carts,
        count(DISTINCT user_session) AS sessions,
        count(DISTINCT CAST(event_time AT TIME ZONE 'UTC' AS DATE)) AS active_days,
        max(event_time) AS last_event_at
    FROM inside
    GROUP BY user_id
),
categories AS (
    SELECT user_id, category_code AS top_category
    FROM inside
    WHERE category_code IS NOT NULL
    GROUP BY user_id, category_code
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY count(*) DESC, category_code) = 1
),
brands AS (
    SELECT user_id, brand AS top_brand
    FROM inside
    WHERE brand IS NOT NULL
    GROUP BY user_id, brand
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY count(*) DESC, brand) = 1
),
cents AS (
    SELECT
        *,
        (spend * 10000)::HUGEINT AS units,
        ((spend * 10000)::HUGEINT + 50) // 100 AS spend_cents
    FROM totals
)
SELECT
    user_id || '|' || strftime(week_start, '%Y-%m-%d') AS external_signal_id,
    user_id AS external_customer_id,
    week_start,
    week_end,
    (spend_cents::DECIMAL(18, 0) * 0.01::DECIMAL(3, 2))::DECIMAL(18, 2) AS total_spend_week,
    orders AS orders_week,
    views AS views_week,
    carts AS carts_week,
    sessions AS sessions_week,
    active_days AS active_days_week,
    CASE WHEN orders > 0 THEN
        (((units + 50 * orders) // (100 * orders))::DECIMAL(18, 0) * 0.01::DECIMAL(3, 2))::DECIMAL(18, 2)
    END AS avg_order_value_week,
    last_event_at,
    top_category,
    top_brand,
    {tier} AS customer_tier,
    refreshed_at
FROM cents
CROSS JOIN week
LEFT JOIN categories USING (user_id)
LEFT JOIN brands USING (user_id)
ORDER BY user_id
