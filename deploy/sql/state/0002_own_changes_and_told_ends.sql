-- Who changed a stage or the checkpoint last, and whether people were told of a run's bad end.
-- Rendered from libs/common/state/migrations by `python -m libs.common.state.scripts deploy/sql/state`.
-- Revision 0002; needs revision 0001. For sqlcmd or SSMS, which end a batch at GO.
-- An error ends the batch and rolls everything back: no half of a revision stays.

-- Filtered indexes need these, and sqlcmd starts without the second.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
SET XACT_ABORT ON;
GO

BEGIN TRANSACTION;

-- Running upgrade 0001 -> 0002

ALTER TABLE dbo.pipeline_checkpoint ADD changed_by NVARCHAR(32) NULL;

ALTER TABLE dbo.pipeline_stage ADD changed_by NVARCHAR(32) NULL;

ALTER TABLE dbo.pipeline_run ADD told_at_utc DATETIME2(6) NULL;

UPDATE dbo.pipeline_schema_version SET version_num='0002' WHERE dbo.pipeline_schema_version.version_num = '0001';

COMMIT;
GO
