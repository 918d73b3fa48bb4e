-- The curated events and the customer-week signals for Synapse serverless SQL: the numbers of services/gate/signals.sql.
-- Repeatable. Run it with sqlcmd in the database that has the external data source retl_lake (README.md).

-- Published events. A week is there whole or not at all, because its folder appears by one rename.
-- Collation: by default T-SQL ignores case, so that customer 'Ann' would be customer 'ANN', and it cannot hold every
-- character in VARCHAR. Latin1_General_100_BIN2_UTF8 compares code points, as the pipeline does, and lets the pool skip
-- row groups by a condition on the column. Every view below inherits it from here.
CREATE OR ALTER VIEW dbo.vw_curated_events
AS
SELECT
    CAST(files.filepath(1) AS DATE) AS week_start,
    CAST(files.filepath(2) AS DATE) AS week_end,
    files.event_time,
    files.event_type,
    files.product_id,
    files.category_id,
    files.category_code,
    files.brand,
    files.price,
    files.user_id,
    files.user_session,
    files.ingested_at
FROM OPENROWSET(
    BULK 'curated/events/week_start=*/week_end=*/*.parquet',
    DATA_SOURCE = 'retl_lake',
    FORMAT = 'PARQUET'
) WITH (
    event_time DATETIME2(6),
    event_type VARCHAR(100) COLLATE Latin1_General_100_BIN2_UTF8,
    product_id VARCHAR(400) COLLATE Latin1_General_100_BIN2_UTF8,
    category_id VARCHAR(400) COLLATE Latin1_General_100_BIN2_UTF8,
    category_code VARCHAR(400) COLLATE Latin1_General_100_BIN2_UTF8,
    brand VARCHAR(400) COLLATE Latin1_General_100_BIN2_UTF8,
    price DECIMAL(18, 4),
    user_id VARCHAR(400) COLLATE Latin1_General_100_BIN2_UTF8,
    user_session VARCHAR(400) COLLATE Latin1_General_100_BIN2_UTF8,
    ingested_at DATETIME2(6)
) AS files;
GO

-- One row per customer and week.
-- Trailing blanks: every collation ignores them in a comparison, so that 'a' would be 'a '. What is compared therefore
-- ends in CHAR(1), which sorts before any character that a text may hold.
-- Money: sums are DECIMAL(38, 4); an average is taken in whole units of 1/10,000, because a quotient of decimals is cut
-- off after six places. Both are rounded half up to cents.
CREATE OR ALTER VIEW dbo.vw_customer_weekly_signals
AS
WITH inside AS (
    SELECT
        week_start,
        week_end,
        event_time,
        event_type,
        price,
        ingested_at,
        user_id,
        category_code,
        brand,
        user_id + CHAR(1) AS customer_key,
        category_code + CHAR(1) AS category_key,
        brand + CHAR(1) AS brand_key,
        user_session + CHAR(1) AS session_key
    FROM dbo.vw_curated_events
    WHERE
        event_time >= CAST(week_start AS DATETIME2(6))
        AND event_time < DATEADD(DAY, 1, CAST(week_end AS DATETIME2(6)))
),

totals AS (
    SELECT
        week_start,
        week_end,
        customer_key,
        MIN(user_id) AS user_id,
        COALESCE(SUM(CASE WHEN event_type = 'purchase' THEN price END), 0) AS spend,
        COUNT_BIG(CASE WHEN event_type = 'purchase' THEN 1 END) AS orders,
        COUNT_BIG(CASE WHEN event_type = 'view' THEN 1 END) AS views,
        COUNT_BIG(CASE WHEN event_type = 'cart' THEN 1 END) AS carts,
        COUNT_BIG(DISTINCT session_key) AS sessions,
        COUNT_BIG(DISTINCT CAST(event_time AS DATE)) AS active_days,
        MAX(event_time) AS last_event_at,
        MAX(ingested_at) AS refreshed_at
    FROM inside
    GROUP BY week_start, week_end, customer_key
),

categories AS (
    SELECT
        week_start,
        week_end,
        customer_key,
        MIN(category_code) AS top_category,
        ROW_NUMBER() OVER (
            PARTITION BY week_start, week_end, customer_key
            ORDER BY COUNT_BIG(*) DESC, category_key
        ) AS place
    FROM inside
    WHERE category_key IS NOT NULL
    GROUP BY week_start, week_end, customer_key, category_key
),

brands AS (
    SELECT
        week_start,
        week_end,
        customer_key,
        MIN(brand) AS top_brand,
        ROW_NUMBER() OVER (
            PARTITION BY week_start, week_end, customer_key
            ORDER BY COUNT_BIG(*) DESC, brand_key
        ) AS place
    FROM inside
    WHERE brand_key IS NOT NULL
    GROUP BY week_start, week_end, customer_key, brand_key
),

units AS (
    SELECT
        totals.*,
        CAST(spend * 10000 AS BIGINT) AS spend_units,
        (CAST(spend * 10000 AS BIGINT) + 50) / 100 AS spend_cents
    FROM totals
)

SELECT
    units.user_id + '|' + CONVERT(CHAR(10), units.week_start, 23) AS external_signal_id,
    units.user_id AS external_customer_id,
    units.week_start,
    units.week_end,
    CAST(units.spend_cents * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS total_spend_week,
    units.orders AS orders_week,
    units.views AS views_week,
    units.carts AS carts_week,
    units.sessions AS sessions_week,
    units.active_days AS active_days_week,
    CASE WHEN units.orders > 0 THEN
        CAST(
            (units.spend_units + 50 * units.orders) / (100 * units.orders) * CAST(0.01 AS DECIMAL(3, 2))
            AS DECIMAL(18, 2)
        )
    END AS avg_order_value_week,
    units.last_event_at,
    categories.top_category,
    brands.top_brand,
    -- The tiers of the setting CUSTOMER_TIERS, in cents; change both together.
    CASE
        WHEN units.spend_cents >= 100000 THEN 'platinum'
        WHEN units.spend_cents >= 50000 THEN 'gold'
        WHEN units.spend_cents >= 10000 THEN 'silver'
        WHEN units.spend_cents > 0 THEN 'bronze'
        ELSE 'prospect'
    END AS customer_tier,
    units.refreshed_at
FROM units
LEFT JOIN categories
    ON
        units.week_start = categories.week_start
        AND units.week_end = categories.week_end
        AND units.customer_key = categories.customer_key
        AND categories.place = 1
LEFT JOIN brands
    ON
        units.week_start = brands.week_start
        AND units.week_end = brands.week_end
        AND units.customer_key = brands.customer_key
        AND brands.place = 1;
GO

-- What the sync reads where SF_SOURCE=warehouse: the columns of the signals file, in its order and types.
CREATE OR ALTER VIEW dbo.vw_salesforce_customer_weekly_export
AS
SELECT
    external_signal_id,
    external_customer_id,
    week_start,
    week_end,
    total_spend_week,
    orders_week,
    views_week,
    carts_week,
    sessions_week,
    active_days_week,
    avg_order_value_week,
    last_event_at,
    top_category,
    top_brand,
    customer_tier,
    refreshed_at
FROM dbo.vw_customer_weekly_signals;
GO
