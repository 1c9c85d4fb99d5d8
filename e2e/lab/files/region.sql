CREATE DATABASE region CHARACTER SET utf8;
CREATE DATABASE console CHARACTER SET utf8;
CREATE USER 'write'@'%' IDENTIFIED BY '{{.DatabasePassword}}';
GRANT ALL PRIVILEGES ON region.* TO 'write'@'%';
GRANT ALL PRIVILEGES ON console.* TO 'write'@'%';
CREATE TABLE console.region_info (
  ID int(11) NOT NULL AUTO_INCREMENT,
  region_id varchar(36) NOT NULL,
  region_name varchar(32) NOT NULL,
  region_alias varchar(32) NOT NULL,
  url varchar(256) NOT NULL,
  wsurl varchar(256) NOT NULL,
  httpdomain varchar(256) NOT NULL,
  tcpdomain varchar(256) NOT NULL,
  token varchar(127) DEFAULT NULL,
  status varchar(2) NOT NULL,
  create_time datetime(6) NOT NULL,
  `desc` varchar(128) NOT NULL,
  scope varchar(10) NOT NULL,
  PRIMARY KEY (ID),
  UNIQUE KEY region_id (region_id),
  UNIQUE KEY region_name (region_name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO console.region_info
  (region_id, region_name, region_alias, url, wsurl, httpdomain, tcpdomain, token, status, create_time, `desc`, scope)
VALUES
  ('asdasdasdasdasdasdasdasdas', 'rainbond', '私有数据中心1', 'http://region.goodrain.me:8888', 'ws://{{.Manage.IP}}:6060',
   '{{.Domain}}', '{{.Manage.IP}}', NULL, '1', '2018-06-01 09:00:00', '当前数据中心是默认安装添加的数据中心', 'private');
