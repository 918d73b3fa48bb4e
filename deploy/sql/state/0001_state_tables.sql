-- The checkpoint, run, stage and part tables.
-- Rendered from libs/common/state/migrations by `python -m libs.common.state.scripts deploy/sql/state`.
-- Revision 0001; needs an empty schema. For sqlcmd or SSMS, which end a batch at GO.
-- An error ends the batch and rolls everything back: no half of a revision stays.

-- Filtered indexes need these, and sqlcmd starts without the second.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
SET XACT_ABORT ON;
GO

BEGIN TRANSACTION;

CREATE TABLE dbo.pipeline_schema_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT pipeline_schema_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE dbo.pipeline_checkpoint (
    pipeline_name NVARCHAR(128) NOT NULL,
    last_successful_week_start DATE NULL,
    last_successful_week_end DATE NULL,
    next_week_start DATE NULL,
    next_week_end DATE NULL,
    updated_at_utc DATETIME2(6) NOT NULL,
    CONSTRAINT pk_pipeline_checkpoint PRIMARY KEY (pipeline_name)
);

CREATE TABLE dbo.pipeline_run (
    run_id NVARCHAR(128) NOT NULL,
    pipeline_name NVARCHAR(128) NOT NULL,
    batch_week_start DATE NOT NULL,
    batch_week_end DATE NOT NULL,
    status NVARCHAR(20) NOT NULL,
    requested_by NVARCHAR(256) NOT NULL,
    requested_at_utc DATETIME2(6) NOT NULL,
    correlation_id NVARCHAR(128) NOT NULL,
    dry_run BIT NOT NULL,
    options NVARCHAR(max) NULL,
    started_at_utc DATETIME2(6) NOT NULL,
    active_since_utc DATETIME2(6) NOT NULL,
    finished_at_utc DATETIME2(6) NULL,
    rows_fetched BIGINT NULL,
    rows_output BIGINT NULL,
    rows_rejected BIGINT NULL,
    reject_rate_pct NUMERIC(7, 4) NULL,
    output_path NVARCHAR(1000) NULL,
    error_code NVARCHAR(128) NULL,
    error_message NVARCHAR(4000) NULL,
    error_next_step NVARCHAR(1000) NULL,
    supersedes NVARCHAR(128) NULL,
    superseded_by NVARCHAR(128) NULL,
    moved_checkpoint BIT NOT NULL,
    changed_by NVARCHAR(32) NOT NULL,
    CONSTRAINT pk_pipeline_run PRIMARY KEY (run_id)
);

CREATE UNIQUE INDEX ux_pipeline_run_active ON dbo.pipeline_run (pipeline_name, batch_week_start, batch_week_end) WHERE status = 'STARTED';

CREATE UNIQUE INDEX ux_pipeline_run_successful ON dbo.pipeline_run (pipeline_name, batch_week_start, batch_week_end) WHERE dry_run = 0 AND status IN ('SUCCESS', 'SUCCESS_WITH_REJECTS');

CREATE INDEX ix_pipeline_run_started ON dbo.pipeline_run (pipeline_name, started_at_utc);

CREATE TABLE dbo.pipeline_stage (
    run_id NVARCHAR(128) NOT NULL,
    stage_name NVARCHAR(20) NOT NULL,
    status NVARCHAR(20) NOT NULL,
    attempts INTEGER NOT NULL,
    row_count BIGINT NULL,
    rejected_count BIGINT NULL,
    parts_total INTEGER NULL,
    started_at_utc DATETIME2(6) NOT NULL,
    finished_at_utc DATETIME2(6) NULL,
    error_code NVARCHAR(128) NULL,
    error_message NVARCHAR(4000) NULL,
    error_next_step NVARCHAR(1000) NULL,
    details NVARCHAR(max) NULL,
    outgoing NVARCHAR(max) NULL,
    published BIT NOT NULL,
    revision INTEGER NOT NULL,
    CONSTRAINT pk_pipeline_stage PRIMARY KEY (run_id, stage_name)
);

CREATE TABLE dbo.pipeline_part (
    run_id NVARCHAR(128) NOT NULL,
    stage_name NVARCHAR(20) NOT NULL,
    part_index INTEGER NOT NULL,
    row_count BIGINT NOT NULL,
    rejected_count BIGINT NOT NULL,
    details NVARCHAR(max) NULL,
    outgoing NVARCHAR(max) NULL,
    published BIT NOT NULL,
    revision INTEGER NOT NULL,
    changed_by NVARCHAR(32) NOT NULL,
    recorded_at_utc DATETIME2(6) NOT NULL,
    CONSTRAINT pk_pipeline_part PRIMARY KEY (run_id, stage_name, part_index)
);

INSERT INTO dbo.pipeline_schema_version (version_num) OUTPUT inserted.version_num VALUES ('0001');

COMMIT;
GO
