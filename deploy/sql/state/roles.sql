-- What there is to be allowed with the state tables. Run as a db_owner, after the numbered scripts; may be run again.
-- grants.sql.tmpl gives the roles to the services' identities.

SET XACT_ABORT ON;
GO

-- Everybody reads; nobody deletes.
IF DATABASE_PRINCIPAL_ID('retl_reader') IS NULL CREATE ROLE retl_reader;
GRANT SELECT ON OBJECT::dbo.pipeline_schema_version TO retl_reader;
GRANT SELECT ON OBJECT::dbo.pipeline_checkpoint TO retl_reader;
GRANT SELECT ON OBJECT::dbo.pipeline_run TO retl_reader;
GRANT SELECT ON OBJECT::dbo.pipeline_stage TO retl_reader;
GRANT SELECT ON OBJECT::dbo.pipeline_part TO retl_reader;

-- Ends and reopens runs: an operator's `retl cancel` and `retl dlq replay`, and any service whose work fails for good.
IF DATABASE_PRINCIPAL_ID('retl_run_ender') IS NULL CREATE ROLE retl_run_ender;
GRANT UPDATE ON OBJECT::dbo.pipeline_run TO retl_run_ender;
GRANT INSERT, UPDATE ON OBJECT::dbo.pipeline_stage TO retl_run_ender;

-- Records the parts that it has worked on.
IF DATABASE_PRINCIPAL_ID('retl_part_worker') IS NULL CREATE ROLE retl_part_worker;
GRANT INSERT, UPDATE ON OBJECT::dbo.pipeline_part TO retl_part_worker;

-- Opens runs.
IF DATABASE_PRINCIPAL_ID('retl_run_opener') IS NULL CREATE ROLE retl_run_opener;
GRANT INSERT ON OBJECT::dbo.pipeline_run TO retl_run_opener;

-- Moves the checkpoint: after the gate, or past a week that is skipped.
IF DATABASE_PRINCIPAL_ID('retl_checkpoint_mover') IS NULL CREATE ROLE retl_checkpoint_mover;
GRANT INSERT, UPDATE ON OBJECT::dbo.pipeline_checkpoint TO retl_checkpoint_mover;

-- Runs `retl migrate`; not needed where a DBA runs the numbered scripts.
IF DATABASE_PRINCIPAL_ID('retl_migrator') IS NULL CREATE ROLE retl_migrator;
GRANT CREATE TABLE TO retl_migrator;
GRANT ALTER, REFERENCES, SELECT, INSERT, UPDATE ON SCHEMA::dbo TO retl_migrator;
GO
